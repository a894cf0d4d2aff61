# frozen_string_literal: true

require "fileutils"
require "json"
require "net/http"
require "yaml"
require "standin/errors"
require "standin/log"

module StandIn
  # The license key that release 19 asks for, as a distribution does that is not its vendor's own. No server is
  # asked whether a key is valid: a well-formed one is. License servers are asked, as they are the user's own.
  module LicenseKey
    # With its license's type and a time stamp; a serial number; a commercial one.
    FORMS = [/\A[a-z]{4}-\h{8}-\h{4}-\h{4}-\h{4}-\h{12}-\d{1,4}\z/, /\A[A-Z0-9]{26}\z/, /\A\h{8}-\h{4}-\h{4}-\h{4}-\h{12}\z/].freeze
    MOST_SERVERS = 5
    NOT_SET = 174
    USAGE = 1

    module_function

    # The exit code of a run that may not begin; nil where it may.
    def refusal(options, environment)
      servers = options[:chef_license_server] || environment["CHEF_LICENSE_SERVER"]
      return refused(USAGE, "Unable to connect to the licensing server. Infra requires server communication to operate.") if servers && (found = ask(servers)).nil?
      return if found&.any?

      given = options[:chef_license_key] || environment["CHEF_LICENSE_KEY"]
      raise Fatal, "Malformed License Key" if given && !well_formed?(given)
      return refused(NOT_SET, "Chef Infra cannot execute without valid licenses.") unless given || kept

      keep(given) if given && !servers
      nil
    end

    def well_formed?(key)
      FORMS.any? { |form| form.match?(key) }
    end

    # The keys that the first server has that answers; nil where none does.
    def ask(servers)
      servers.split(",").first(MOST_SERVERS).each do |url|
        answer = Net::HTTP.get_response(URI("#{url.strip.chomp('/')}/v1/listLicenses"))
        return JSON.parse(answer.body).fetch("data") if answer.is_a?(Net::HTTPSuccess)
      rescue SystemCallError, SocketError, Timeout::Error, JSON::ParserError, KeyError
        Chef::Log.warn("Connection failed to #{url.strip}")
      end
      nil
    end

    def file
      File.join(Dir.home, ".chef", "licenses.yaml")
    end

    def kept
      File.exist?(file)
    end

    def keep(key)
      FileUtils.mkdir_p(File.dirname(file))
      File.write(file, YAML.dump({ file_format_version: "4.0.0", licenses: [{ license_key: key }] }), perm: 0o600)
    end

    def refused(code, words)
      Chef::Log.error(words)
      code
    end
  end
end

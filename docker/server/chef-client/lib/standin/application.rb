# frozen_string_literal: true

require "English"
require "etc"
require "fileutils"
require "json"
require "optparse"
require "socket"
require "chef-config/config"
require "openssl"

module StandIn
  VERSION = "18.10.0"
  NAME = "Chef Infra Client stand-in (Gantry), version #{VERSION}"
end

# The name by which client.rb and recipes know the settings.
module Chef
  Config = ChefConfig::Config
end

require "standin/errors"
require "standin/log"
require "standin/attributes"
require "standin/server_api"
require "standin/license"
require "standin/explain"
require "standin/client"

module StandIn
  # The command: options, client.rb, the license, the lock; and how all of it ends.
  class Application
    LICENSE_CODE = 172

    def initialize(arguments)
      @arguments = arguments
      @options = { config_file: "/etc/chef/client.rb" }
      $stdout.sync = true
    end

    def run
      parse
      return version if @options[:version]

      puts NAME
      configure
      License.new(@options[:license] || Chef::Config[:chef_license]).check
      Signal.trap("TERM") { exit!(3) }
      Client.new(Chef::Config, json_attributes, @options).run
      0
    rescue OptionParser::ParseError => e
      puts e.message, @parser.help
      1
    rescue LicenseNotAccepted => e
      puts e.message
      LICENSE_CODE
    rescue Exception => e # rubocop:disable Lint/RescueException -- the last word on every failure
      die(e)
      1
    end

    private

    def version
      puts "Chef Infra Client: #{VERSION} (a stand-in for it: see Gantry's docs/configuration-management.md)"
      0
    end

    def parse
      @parser = OptionParser.new("Usage: chef-client (options)") do |on|
        on.on("-j", "--json-attributes JSON_ATTRIBS") { |value| @options[:json] = value }
        on.on("-E", "--environment ENVIRONMENT") { |value| @options[:environment] = value }
        on.on("-c", "--config CONFIG") { |value| @options[:config_file] = value }
        on.on("-N", "--node-name NODE_NAME") { |value| @options[:node_name] = value }
        on.on("-S", "--server CHEFSERVERURL") { |value| @options[:chef_server_url] = value }
        on.on("-K", "--validation_key KEY_FILE") { |value| @options[:validation_key] = value }
        on.on("-k", "--client_key KEY_FILE") { |value| @options[:client_key] = value }
        on.on("-o", "--override-runlist RunlistItem,RunlistItem...", Array) { |value| @options[:override] = value }
        on.on("-l", "--log_level LEVEL") { |value| @options[:log_level] = value.to_sym }
        on.on("--chef-license ACCEPTANCE") { |value| @options[:license] = value }
        on.on("--once") {}
        on.on("-v", "--version") { @options[:version] = true }
      end
      @parser.parse(@arguments)
    end

    def configure
      path = @options[:config_file]
      # What else has a place of its own (trusted_certs) is looked for beside it.
      Chef::Config.config_file = path
      if File.exist?(path)
        Chef::Config.from_string(File.read(path), path)
      else
        Log.warn("No config file found or specified on command line. Using command line options instead.")
      end
      %i[environment node_name chef_server_url validation_key client_key log_level].each do |name|
        Chef::Config[name] = @options[name] if @options[name]
      end
      Chef::Config[:node_name] ||= Socket.gethostname
      Log.level = Chef::Config.log_level == :auto ? :warn : Chef::Config.log_level
    rescue SyntaxError, NameError => e
      raise Fatal, "You have an invalid config file: #{path}: #{e.message}"
    end

    def json_attributes
      path = @options[:json] or return {}
      found = JSON.parse(File.read(path))
      raise Fatal, "Could not parse the provided JSON file (#{path})!: no object" unless found.is_a?(Hash)

      found
    rescue SystemCallError
      raise Fatal, "Cannot load configuration from #{path}"
    rescue JSON::ParserError => e
      raise Fatal, "Could not parse the provided JSON file (#{path})!: #{e.message}"
    end

    def die(error)
      text = Explain.fatal(error)
      unless error.is_a?(Fatal)
        dump(error)
        rule = "-" * 87
        Log.fatal("Stacktrace dumped to #{trace_file}")
        Log.fatal(rule)
        Log.fatal("PLEASE PROVIDE THE CONTENTS OF THE stacktrace.out FILE (above) IF YOU FILE A BUG REPORT")
        Log.fatal(rule)
      end
      Log.fatal(text)
    end

    def trace_file
      File.join(Chef::Config[:file_cache_path] || "/var/chef/cache", "chef-stacktrace.out")
    end

    def dump(error)
      FileUtils.mkdir_p(File.dirname(trace_file))
      cause = error.cause || error
      File.write(trace_file, "Generated at #{Time.now}\n#{cause.class}: #{cause.message}\n#{(cause.backtrace || []).join("\n")}\n")
    rescue SystemCallError => e
      Log.error("Cannot write #{trace_file}: #{e.message}")
    end
  end
end

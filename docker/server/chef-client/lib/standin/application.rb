# frozen_string_literal: true

require "fileutils"
require "json"
require "standin/client"
require "standin/config"
require "standin/errors"
require "standin/license"
require "standin/license_key"
require "standin/log"
require "standin/options"
require "standin/run_lock"
require "standin/version"

module StandIn
  # The command: options, client.rb, the license, the lock; and how all of it ends.
  class Application
    FAILED = 1
    LICENSE_NOT_ACCEPTED = 172
    REBOOT_SCHEDULED = 35
    REBOOT_FAILED = 41
    SIGNALS = { "INT" => 2, "TERM" => 3 }.freeze

    def initialize(arguments)
      @arguments = arguments
      @options = Options.new
      $stdout.sync = true
    end

    # The exit code.
    def run
      @options.parse(@arguments) do |text, code|
        puts text
        return code
      end
      puts BANNER
      puts "Patents: none, it is a stand-in"
      perform
    rescue SignalException => e
      name = Signal.signame(e.signo)
      Chef::Log.fatal("SIG#{name} received, stopping")
      SIGNALS.fetch(name, FAILED)
    rescue Fatal => e
      Chef::Log.fatal(e.message)
      FAILED
    rescue StandardError, ScriptError, SystemExit, Chef::Exceptions::Reboot => e
      die(e)
      code_of(e)
    end

    private

    def perform
      config = Configuration.load(@options.config_file, @options.settings)
      config.node_name ||= Automatic.fqdn
      json = attributes
      unless License.accepted?(config[:chef_license], ENV.fetch("CHEF_LICENSE", nil))
        puts "#{PRODUCT} cannot execute without accepting the license"
        return LICENSE_NOT_ACCEPTED
      end
      refusal = StandIn.release < 19 ? nil : LicenseKey.refusal(@options.license, ENV)
      return refusal if refusal

      RunLock.hold(config.lockfile, config[:run_lock_timeout]) { Client.new(config, json, @options.override_run_list).run }
      0
    end

    def attributes
      path = @options.json or return {}
      found = JSON.parse(File.read(path))
      raise Fatal, "Could not parse the provided JSON file (#{path}): it holds no object" unless found.is_a?(Hash)

      found
    rescue SystemCallError
      raise Fatal, "Cannot load configuration from #{path}"
    rescue JSON::ParserError => e
      raise Fatal, "Could not parse the provided JSON file (#{path}): #{e.message}"
    end

    def code_of(error)
      cause = error.is_a?(Run::CompileFailed) ? error.cause : error
      case cause
      when SystemExit then cause.status
      when Chef::Exceptions::Reboot then REBOOT_SCHEDULED
      when Chef::Exceptions::RebootFailed then REBOOT_FAILED
      else FAILED
      end
    end

    def die(error)
      dump(error)
      rule = "-" * 87
      Chef::Log.fatal(rule)
      Chef::Log.fatal("PLEASE PROVIDE THE CONTENTS OF THE stacktrace.out FILE (above) IF YOU FILE A BUG REPORT")
      Chef::Log.fatal(rule)
      last = Explain.fatal(error)
      Chef::Log.fatal(last) if last
    end

    def dump(error)
      path = File.join(Chef::Config.file_cache_path, "chef-stacktrace.out")
      FileUtils.mkdir_p(File.dirname(path))
      # Messages may hold what recipes know.
      File.open(path, File::CREAT | File::TRUNC | File::WRONLY, 0o600) do |file|
        [error, error.cause].compact.each { |each| file.puts("#{each.class}: #{each.message}", each.backtrace, "") }
      end
      Chef::Log.fatal("Stacktrace dumped to #{path}")
    rescue SystemCallError => e
      Chef::Log.error("Cannot write #{path}: #{e.message}")
    end
  end
end

# frozen_string_literal: true

require "chef-config/config"
require "standin/errors"
require "standin/log"

class Chef
  # Chef's own settings and their defaults: a file of Ruby, usually /etc/chef/client.rb.
  Config = ChefConfig::Config
end

module StandIn
  # Settings from the file, then from the command line, which wins.
  module Configuration
    module_function

    # Raises: Fatal, the file is no Ruby that can be evaluated.
    def load(path, overrides)
      Chef::Config.config_file = path
      if File.exist?(path)
        evaluate(path)
      else
        Chef::Log.warn("*****************************************")
        Chef::Log.warn("Did not find config file: #{path}. Using command line options instead.")
        Chef::Log.warn("*****************************************")
      end
      overrides.each { |name, value| Chef::Config[name] = value }
      direct_log
      Chef::Config
    end

    def evaluate(path)
      Chef::Config.from_file(path)
    rescue SyntaxError, StandardError => e
      where = (e.backtrace || []).find { |line| line.start_with?(path) }
      raise Fatal, ["Configuration error #{e.class}: #{e.message}", where && "  #{where}"].compact.join("\n")
    end

    def direct_log
      level = Chef::Config.log_level.to_sym
      raise Fatal, "log_level :#{level} is none of #{Chef::Log::LEVELS.join(', ')}" unless [:auto, *Chef::Log::LEVELS].include?(level)

      Chef::Log.level = level == :auto ? :warn : level
      location = Chef::Config.log_location
      Chef::Log.target = open_log(location) if location && location != $stdout
    end

    def open_log(location)
      return location if location.is_a?(IO)
      return $stdout if location.to_s.casecmp?("stdout")

      File.open(location.to_s, "a").tap { |file| file.sync = true }
    end
  end
end

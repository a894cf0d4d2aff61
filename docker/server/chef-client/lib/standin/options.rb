# frozen_string_literal: true

require "optparse"
require "standin/version"

module StandIn
  # The command line. Options that only the real client knows are refused like unknown ones.
  class Options
    attr_reader :config_file, :json, :license, :override_run_list, :settings

    def initialize
      @license = {}
      @config_file = "/etc/chef/client.rb"
      @settings = {}
    end

    # Fills itself in; yields the text and the exit code when the program has nothing more to do than to say it.
    def parse(arguments)
      rest = parser.parse(arguments)
      yield "Error: unexpected argument: #{rest.first}\n#{parser.help}", 1 unless rest.empty?
      yield @early, 0 if @early
      yield "the stand-in for #{PRODUCT} has no local mode (-z): it works against a Chef server only", 1 if @local
    rescue OptionParser::ParseError => e
      yield "Error: #{e.message}\n#{parser.help}", 1
    end

    private

    def parser
      OptionParser.new do |parser|
        parser.banner = "Usage: chef-client (options)"
        parser.on("-c", "--config CONFIG", "The configuration file to use.") { |path| @config_file = path }
        parser.on("-j", "--json-attributes JSON_ATTRIBS", "Load attributes from a JSON file.") { |path| @json = path }
        parser.on("-o", "--override-runlist ITEM,ITEM", Array, "Replace current run list for a single run.") do |items|
          @override_run_list = items
        end
        parser.on("-z", "--local-mode", "Not in the stand-in.") { @local = true }
        setting(parser, :environment, "-E", "--environment ENVIRONMENT", "Set the Chef environment on the node.")
        setting(parser, :node_name, "-N", "--node-name NODE_NAME", "The node name for this client.")
        setting(parser, :chef_server_url, "-S", "--server CHEFSERVERURL", "The URL of the Chef server.")
        setting(parser, :validation_key, "-K", "--validation_key KEY_FILE", "The key that registers new clients.")
        setting(parser, :client_key, "-k", "--client_key KEY_FILE", "The client's own key.")
        setting(parser, :log_location, "-L", "--logfile LOGLOCATION", "Where to log to.")
        setting(parser, :chef_license, "--chef-license ACCEPTANCE", "accept, accept-no-persist or accept-silent.")
        licensing(parser) unless StandIn.release < 19
        parser.on("-l", "--log_level LEVEL", "auto, trace, debug, info, warn, error or fatal.") { |level| @settings[:log_level] = level.to_sym }
        parser.on("--once", "Run once; the stand-in never does anything else.")
        parser.on("-v", "--version", "Show the version.") { @early = "#{PRODUCT}: #{VERSION} (Gantry's stand-in)" }
        parser.on("-h", "--help", "Show this help.") { @early = parser.help }
      end
    end

    def licensing(parser)
      parser.on("--chef-license-key KEY", "The license key.") { |key| @license[:chef_license_key] = key }
      parser.on("--chef-license-server URL,URL", "Where to ask for a license.") { |urls| @license[:chef_license_server] = urls }
    end

    def setting(parser, name, *words)
      parser.on(*words) { |value| @settings[name] = value }
    end
  end
end

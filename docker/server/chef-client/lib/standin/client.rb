# frozen_string_literal: true

require "standin/automatic"
require "standin/cookbooks"
require "standin/explain"
require "standin/formatter"
require "standin/node"
require "standin/registration"
require "standin/run"
require "standin/run_list"
require "standin/server_api"

module StandIn
  # What chef-client does, in its order: register, load the node, expand the run list, fetch cookbooks, converge, save.
  class Client
    # Once registered, the real client meets an unreachable server at several places, each with its own retries.
    ROUNDS_WHEN_REGISTERED = 3

    # `json`: attributes, and perhaps `run_list`. `override`: a run list for this run only, or nil.
    def initialize(config, json, override)
      @config = config
      @json = json
      @override = override
      @name = config.node_name
      @formatter = Formatter.new
      @place = nil
      @recipes = []
    end

    # Raises whatever stopped it, after it has been explained.
    def run
      @formatter.say("Infra Phase starting")
      register
      node = load_node
      run_list = expand(node)
      @run = Run.new(node, fetch_cookbooks(node, run_list), @formatter, @server)
      converge(run_list)
      # A run list for once is nothing to remember.
      @server.put("/nodes/#{@name}", node.to_server) unless @override
      @formatter.say("\nRunning handlers:\nRunning handlers complete")
      @formatter.say("Infra Phase complete, #{@formatter.updated}/#{@formatter.total} resources updated in #{@formatter.elapsed}")
      @run.reboot_if_wanted
    rescue StandardError, ScriptError, SystemExit, Chef::Exceptions::Reboot => e
      # A resource's failure was explained where it happened.
      Explain.block(@formatter, e, @place, @config, @recipes) unless e.is_a?(Run::ActionFailed)
      @formatter.say("\nRunning handlers:")
      Chef::Log.error("Running exception handlers")
      @formatter.say("Running handlers complete")
      Chef::Log.error("Exception handlers complete")
      @formatter.say("Infra Phase failed. #{@formatter.updated} resources updated in #{@formatter.elapsed}")
      raise
    end

    private

    # Remembers what is being done, for the explanation of a failure.
    def at(place)
      @place = place
      yield.tap { @place = nil }
    end

    def register
      at(:register) do
        unless File.exist?(@config.client_key.to_s)
          @formatter.say("Creating a new client identity for #{@name} using the validator key.")
          Registration.new(@config, @name).run
        end
      end
      at(:node) { @server = ServerAPI.new(@config, @name, @config.client_key, rounds: ROUNDS_WHEN_REGISTERED) }
    end

    def load_node
      node = Chef::Node.new(@name, @config.environment || "_default")
      known = at(:node) { fetch_or_create(node) }
      node.merge_level(:normal, known["normal"])
      node.merge_level(:normal, @json.reject { |key, _| key == "run_list" })
      node.merge_level(:automatic, Automatic.collect)
      node.run_list = @override || @json["run_list"] || known["run_list"] || []
      node
    end

    def fetch_or_create(node)
      @server.get("/nodes/#{@name}")
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "404"

      @server.post("/nodes", node.to_server)
      {}
    end

    def expand(node)
      run_list = at(:run_list) { RunList.new(node.run_list, node.chef_environment, @server).tap(&:check) }
      environment = at(:run_list) { load_environment(node.chef_environment) }
      node.expanded_roles = run_list.roles
      node.expanded_recipes = run_list.recipes.map { |recipe| recipe.split("@").first }
      node.merge_level(:env_default, environment["default_attributes"])
      node.merge_level(:env_override, environment["override_attributes"])
      node.merge_level(:role_default, run_list.default_attributes)
      node.merge_level(:role_override, run_list.override_attributes)
      facts = { "roles" => run_list.roles, "recipes" => node.expanded_recipes, "chef_environment" => node.chef_environment }
      node.merge_level(:automatic, facts)
      run_list
    end

    # The one that every Chef server has is empty, and is not asked for.
    def load_environment(name)
      name == "_default" ? {} : @server.get("/environments/#{name}")
    end

    def fetch_cookbooks(node, run_list)
      @recipes = run_list.recipes
      @formatter.say("Resolving cookbooks for run list: #{run_list.recipes.inspect}")
      manifests = at(:cookbooks) do
        @server.post("/environments/#{node.chef_environment}/cookbook_versions", { "run_list" => run_list.recipes })
      end
      @recipes = []
      @formatter.say("Synchronizing cookbooks:")
      cookbooks = Cookbooks.new(@server, File.join(@config.file_cache_path, "cookbooks"), node)
      at(:files) do
        cookbooks.synchronize(manifests) { |name, version| @formatter.say("  - #{name} (#{version})") }
      end
      node.cookbooks = cookbooks
    end

    def converge(run_list)
      @formatter.say("Compiling cookbooks...")
      @run.compile(run_list.recipes)
      @formatter.say("Converging #{@run.resources.length} resources")
      @run.converge
    end
  end
end

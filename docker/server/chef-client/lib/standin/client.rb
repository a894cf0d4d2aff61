# frozen_string_literal: true

require "standin/run"

module StandIn
  # What chef-client does, in its order: register, load the node, expand the run list, fetch cookbooks, converge, save.
  class Client
    # The real client meets an unreachable server at several places once it is registered, each with its own retries.
    ROUNDS_WHEN_REGISTERED = 3

    def initialize(config, json, options)
      @config = config
      @json = json
      @options = options
      @formatter = Formatter.new
      @name = config.node_name
    end

    def run
      locked { converge }
    rescue Fatal
      raise
    rescue StandardError, ScriptError => e
      Explain.block(@formatter, e, @config, @name)
      @formatter.say("Running handlers:")
      Log.error("Running exception handlers")
      @formatter.say("Running handlers complete")
      Log.error("Exception handlers complete")
      @formatter.say("Infra Phase failed. #{@formatter.updated} resources updated in #{@formatter.elapsed}")
      raise
    end

    private

    def locked
      path = @config.lockfile || File.join(@config[:file_cache_path] || "/var/chef/cache", "chef-client-running.pid")
      FileUtils.mkdir_p(File.dirname(path))
      File.open(path, File::CREAT | File::RDWR, 0o644) do |lock|
        lock.fcntl(Fcntl::F_SETFD, Fcntl::FD_CLOEXEC)
        unless lock.flock(File::LOCK_EX | File::LOCK_NB)
          Log.warn("Chef Infra Client #{lock.read.strip} is running, will wait for it to finish and then run.")
          lock.flock(File::LOCK_EX)
        end
        lock.truncate(0)
        lock.rewind
        lock.write("#{Process.pid}\n")
        lock.flush
        yield
      end
    end

    def converge
      @formatter.say("Infra Phase starting")
      register
      node = load_node
      run_list = expand(node)
      run = Run.new(node, cookbooks(node, run_list), @formatter)
      @formatter.say("Compiling cookbooks...")
      run.compile(run_list.recipes)
      @formatter.say("Converging #{run.resources.length} resources")
      run.converge
      @server.put("/nodes/#{@name}", node.for_server)
      @formatter.say
      @formatter.say("Running handlers:")
      @formatter.say("Running handlers complete")
      total = @formatter.updated + @formatter.up_to_date
      @formatter.say("Infra Phase complete, #{@formatter.updated}/#{total} resources updated in #{@formatter.elapsed}")
    end

    def register
      unless File.exist?(@config.client_key)
        @formatter.say("Creating a new client identity for #{@name} using the validator key.")
        Explain.at(:register) { Registration.new(@config, @name).run }
      end
      @server = ServerAPI.new(@config, @name, @config.client_key)
      @server.rounds = ROUNDS_WHEN_REGISTERED
    end

    def load_node
      environment = @config.environment || "_default"
      node = Node.new(@name, environment)
      known = Explain.at(:node) { fetch_or_create(node) }
      @server.rounds = 1
      node.run_list = known["run_list"] || []
      node.merge_level(:normal, known["normal"])
      node.merge_level(:automatic, Automatic.collect)
      node.run_list = @json["run_list"] if @json.key?("run_list")
      node.merge_level(:normal, @json.reject { |key, _| key == "run_list" })
      node.run_list = @options[:override] if @options[:override]
      node
    end

    def fetch_or_create(node)
      @server.get("/nodes/#{@name}")
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "404"

      @server.post("/nodes", node.for_server)
      {}
    end

    def expand(node)
      environment = node.chef_environment
      run_list = Explain.at(:run_list) { RunList.new(node.run_list, environment, @server) }
      node.expanded_roles = run_list.roles
      node.expanded_recipes = run_list.recipes.map { |recipe| recipe.split("@").first }
      unless environment == "_default"
        found = Explain.at(:environment) { @server.get("/environments/#{environment}") }
        node.merge_level(:env_default, found["default_attributes"])
        node.merge_level(:env_override, found["override_attributes"])
      end
      node.merge_level(:role_default, run_list.default_attributes)
      node.merge_level(:role_override, run_list.override_attributes)
      node.merge_level(:automatic, { "roles" => run_list.roles, "recipes" => run_list.recipes })
      run_list
    end

    def cookbooks(node, run_list)
      @formatter.say("Resolving cookbooks for run list: #{run_list.recipes.inspect}")
      manifests = Explain.at(:cookbooks) do
        @server.post("/environments/#{node.chef_environment}/cookbook_versions", { "run_list" => run_list.recipes })
      end
      @formatter.say("Synchronizing cookbooks:")
      found = Cookbooks.new(@server, File.join(@config[:file_cache_path] || "/var/chef/cache", "cookbooks"), node)
      Explain.at(:cookbooks) do
        found.synchronize(manifests) { |name, version| @formatter.say("  - #{name} (#{version})") }
      end
      node.cookbooks = found
      found
    end
  end

  # A new client with a key of its own, made by the validator.
  class Registration
    def initialize(config, name)
      @config = config
      @name = name
    end

    def run
      server = ServerAPI.new(@config, @config.validation_client_name, @config.validation_key)
      key = OpenSSL::PKey::RSA.new(2048)
      left = @config[:client_registration_retries] || 5
      begin
        create(server, key)
      rescue Net::HTTPFatalError => e
        raise if left <= 0

        left -= 1
        Log.warn("Failed to register new client, #{left} tries remaining")
        Log.warn("Response: HTTP #{e.response.code} - #{e}")
        retry
      end
      File.open(@config.client_key, File::CREAT | File::WRONLY | File::TRUNC, 0o600) { |file| file.write(key.to_pem) }
    end

    private

    def create(server, key)
      body = { "name" => @name, "admin" => false, "public_key" => key.public_key.to_pem }
      server.post("/clients", body)
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "409"

      # There is one already; a validator may make clients, and not change them.
      server.put("/clients/#{@name}", body)
    end
  end
end

# frozen_string_literal: true

require "standin/errors"
require "standin/log"
require "standin/mash"
require "standin/resource"
require "standin/search"

module StandIn
  # What a recipe's text is evaluated in.
  class Recipe
    attr_reader :run, :cookbook_name, :recipe_name, :path

    def initialize(run, cookbook_name, recipe_name, path)
      @run = run
      @cookbook_name = cookbook_name
      @recipe_name = recipe_name
      @path = path
    end

    def evaluate
      instance_eval(File.read(path), path, 1)
    end

    def full_name
      "#{cookbook_name}::#{recipe_name}"
    end

    def node
      run.node
    end

    def include_recipe(*names)
      names.flatten.each { |name| run.load_recipe(name.start_with?("::") ? "#{cookbook_name}#{name}" : name) }
    end

    def include_attribute(*names)
      names.flatten.each { |name| node.include_attribute(name) }
    end

    def platform?(*names)
      node.platform?(*names)
    end

    def platform_family?(*names)
      node.platform_family?(*names)
    end

    def value_for_platform_family(map)
      map.find { |families, _| Array(families).map(&:to_s).include?(node["platform_family"]) }&.last || map["default"]
    end

    def value_for_platform(map)
      found = map.find { |platforms, _| Array(platforms).map(&:to_s).include?(node["platform"]) }&.last
      return map["default"] unless found

      found[node["platform_version"]] || found["default"]
    end

    def lazy(&block)
      Resource::Lazy.new(block)
    end

    def resources(name)
      run.find_resource(name)
    end

    def find_resource(type, name)
      run.find_resource("#{type}[#{name}]")
    end

    # An item of a data bag, as it stands on the Chef server.
    def data_bag_item(bag, item)
      Mash.from(run.server.get("/data/#{bag}/#{item}"))
    rescue StandardError
      Chef::Log.error("Failed to load data bag item: #{bag.inspect} #{item.inspect}")
      raise
    end

    # The names of a data bag's items.
    def data_bag(bag)
      run.server.get("/data/#{bag}").keys
    rescue StandardError
      Chef::Log.error("Failed to list data bag items in data bag: #{bag.inspect}")
      raise
    end

    # What the Chef server finds: nodes, items of a data bag, and so on; or, with a filter, hashes of what it names.
    def search(type, query = "*:*", filter_result: nil, &block)
      found = Search.new(run.server, type, query, filter_result)
      return found.to_a unless block

      found.each(&block)
      true
    end

    def shell_out(*command, **options)
      Mixlib::ShellOut.new(*command, **options).run_command
    end

    def shell_out!(*command, **options)
      shell_out(*command, **options).tap(&:error!)
    end

    # A resource of this type, with the properties that its block gives it.
    def declare_resource(type, name = "", &block)
      kind = Resource.registry[type.to_sym] or unknown(type)
      place = caller_locations.find { |each| each.path == path }
      resource = kind.new(name, self, place&.lineno)
      resource.instance_exec(&block) if block
      run.add(resource)
    end

    def method_missing(name, *arguments, &block)
      return unknown(name) unless Resource.registry.key?(name)

      declare_resource(name, *arguments, &block)
    end

    def respond_to_missing?(name, _include_private = false)
      Resource.registry.key?(name)
    end

    private

    def unknown(name)
      raise NoMethodError, "undefined method `#{name}' for cookbook: #{cookbook_name}, recipe: #{recipe_name} :Chef::Recipe"
    end
  end
end

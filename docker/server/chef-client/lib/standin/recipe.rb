# frozen_string_literal: true

require "standin/errors"
require "standin/resource"

module StandIn
  # What a recipe's text is evaluated in.
  class Recipe
    attr_reader :run, :cookbook_name, :recipe_name

    def initialize(run, cookbook_name, recipe_name)
      @run = run
      @cookbook_name = cookbook_name
      @recipe_name = recipe_name
    end

    def node
      run.node
    end

    def from_file(path)
      instance_eval(File.read(path), path, 1)
    end

    def include_recipe(*names)
      names.flatten.each { |name| run.load_recipe(name.start_with?("::") ? "#{cookbook_name}#{name}" : name) }
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

    def resources(*names)
      run.find_resource(names.first)
    end

    def find_resource(type, name)
      run.find_resource("#{type}[#{name}]")
    end

    def log_level
      Log.level
    end

    # A resource of this type, with the properties that its block gives it.
    def declare_resource(type, name = nil, &block)
      kind = Resource.registry[type] or return unknown(type)
      line = caller_locations.find { |place| place.path.include?("/recipes/") }&.lineno
      resource = kind.new(name || "", self, line)
      resource.instance_exec(&block) if block
      run.add(resource)
    end

    def method_missing(name, *arguments, &block)
      return unknown(name) unless Resource.registry.key?(name)

      declare_resource(name, arguments.first, &block)
    end

    def respond_to_missing?(name, _include_private = false)
      Resource.registry.key?(name)
    end

    def to_s
      "cookbook: #{cookbook_name}, recipe: #{recipe_name} :Chef::Recipe"
    end

    private

    def unknown(name)
      raise NoMethodError, "undefined method `#{name}' for #{self}"
    end
  end
end

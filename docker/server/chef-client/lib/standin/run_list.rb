# frozen_string_literal: true

require "set"
require "standin/errors"

module StandIn
  # A run list with its roles expanded, recursively and each once.
  class RunList
    ITEM = /\A(?:(?<type>role|recipe)\[(?<name>[^\]@]+)(?:@(?<version>[^\]]+))?\]|(?<bare>[^\[\]@]+)(?:@(?<bare_version>.+))?)\z/

    attr_reader :recipes, :roles, :default_attributes, :override_attributes

    def initialize(items, environment, server)
      @environment = environment
      @server = server
      @recipes = []
      @roles = []
      @missing = []
      @default_attributes = Mash.new
      @override_attributes = Mash.new
      expand(items)
      return if @missing.empty?

      raise Chef::Exceptions::MissingRole,
            "The expanded run list includes nonexistent roles: #{@missing.join(', ')}"
    end

    # `cookbook::recipe`, as cookbook_versions and the compiler want it.
    def self.full(name)
      name.include?("::") ? name : "#{name}::default"
    end

    private

    def expand(items)
      items.each do |item|
        match = ITEM.match(item.to_s) or raise Fatal, "#{item.inspect} is not an item of a run list"
        if match[:type] == "role"
          expand_role(match[:name])
        else
          add_recipe(match[:name] || match[:bare], match[:version] || match[:bare_version])
        end
      end
    end

    def add_recipe(name, version)
      wanted = version ? "#{name}@#{version}" : name
      @recipes << wanted unless @recipes.include?(wanted)
    end

    def expand_role(name)
      return if @roles.include?(name)

      @roles << name
      role = fetch(name) or return
      own = role.fetch("env_run_lists", nil)&.fetch(@environment, nil) || role.fetch("run_list", [])
      expand(own)
      # An outer role wins over those that it includes.
      @default_attributes = @default_attributes.deep_merge(role["default_attributes"] || {})
      @override_attributes = @override_attributes.deep_merge(role["override_attributes"] || {})
    end

    def fetch(name)
      @server.get("/roles/#{name}")
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "404"

      @missing << name
      nil
    end
  end
end

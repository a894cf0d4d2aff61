# frozen_string_literal: true

require "standin/errors"
require "standin/mash"

module StandIn
  # A run list with its roles expanded, recursively and each once.
  class RunList
    ITEM = /\A(?:(?<type>role|recipe)\[(?<name>[^\]@]+)(?:@(?<version>[^\]]+))?\]|(?<bare>[^\[\]@]+)(?:@(?<bare_version>.+))?)\z/

    # `missing`: names of roles that are not on the server, with who wants them.
    attr_reader :recipes, :roles, :missing, :default_attributes, :override_attributes

    def initialize(items, environment, server)
      @environment = environment
      @server = server
      @recipes = []
      @roles = []
      @missing = {}
      @default_attributes = Mash.new
      @override_attributes = Mash.new
      expand(items, "the run list")
    end

    # Raises: Chef::Exceptions::MissingRole.
    def check
      raise Chef::Exceptions::MissingRole, @missing unless @missing.empty?
    end

    # `cookbook::recipe`, as the compiler wants it.
    def self.full(name)
      name.include?("::") ? name : "#{name}::default"
    end

    private

    def expand(items, by)
      items.each do |item|
        match = ITEM.match(item.to_s) or raise ArgumentError, "#{item.inspect} is not a valid run list item"
        if match[:type] == "role"
          expand_role(match[:name], by)
        else
          add_recipe(match[:name] || match[:bare], match[:version] || match[:bare_version])
        end
      end
    end

    def add_recipe(name, version)
      wanted = version ? "#{name}@#{version}" : name
      @recipes << wanted unless @recipes.include?(wanted)
    end

    def expand_role(name, by)
      return if @roles.include?(name) || @missing.key?(name)

      role = fetch(name, by) or return
      @roles << name
      lists = role["env_run_lists"] || {}
      expand(lists[@environment] || role["run_list"] || [], "role[#{name}]")
      # An outer role wins over those that it includes.
      @default_attributes = @default_attributes.deep_merge(role["default_attributes"] || {})
      @override_attributes = @override_attributes.deep_merge(role["override_attributes"] || {})
    end

    def fetch(name, by)
      @server.get("/roles/#{name}")
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "404"

      @missing[name] = by
      nil
    end
  end
end

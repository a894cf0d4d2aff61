# frozen_string_literal: true

require "standin/mash"

class Chef
  # The node: its name, run list, attributes of every precedence, and what recipes know of it.
  class Node
    # From weak to strong.
    LEVELS = %i[default env_default role_default force_default normal override role_override env_override
                force_override automatic].freeze
    WRITABLE = %i[default force_default normal override force_override automatic].freeze

    attr_reader :name, :run_state
    # The run that it is in.
    attr_accessor :run_context
    attr_accessor :chef_environment, :run_list, :cookbooks, :expanded_recipes, :expanded_roles

    def initialize(name, environment)
      @name = name
      @chef_environment = environment
      @run_list = []
      @run_state = {}
      @levels = LEVELS.to_h { |level| [level, StandIn::Mash.new(WRITABLE.include?(level))] }
    end

    WRITABLE.each { |level| define_method(level) { @levels.fetch(level) } }
    alias set normal
    alias environment chef_environment

    # What comes from outside for a level: a role, an environment, the server's copy, a JSON file.
    def merge_level(level, attributes)
      @levels[level] = @levels.fetch(level).deep_merge(attributes || {})
    end

    # All levels as one, to read.
    def attributes
      LEVELS.reduce(StandIn::Mash.new) { |merged, level| merged.deep_merge(@levels.fetch(level)) }.seal
    end

    def [](key)
      attributes[key]
    end

    def dig(*keys)
      attributes.dig(*keys)
    end
    alias read dig

    def key?(key)
      attributes.key?(key)
    end
    alias attribute? key?

    def node
      self
    end

    def platform?(*names)
      names.map(&:to_s).include?(self["platform"])
    end

    def platform_family?(*names)
      names.map(&:to_s).include?(self["platform_family"])
    end

    def role?(name)
      (expanded_roles || []).include?(name)
    end

    def recipe?(name)
      (expanded_recipes || []).include?(name)
    end

    # In an attributes file: the attributes of another cookbook first.
    def include_attribute(name)
      cookbooks.load_attributes(*name.split("::", 2))
    end

    # The node as the server keeps it.
    def to_server
      {
        "name" => name, "chef_environment" => chef_environment, "json_class" => "Chef::Node", "chef_type" => "node",
        "automatic" => merged(:automatic), "normal" => merged(:normal), "run_list" => run_list,
        "default" => merged(:default, :env_default, :role_default, :force_default),
        "override" => merged(:override, :role_override, :env_override, :force_override)
      }
    end

    def to_s
      "node[#{name}]"
    end
    alias inspect to_s

    private

    def merged(*levels)
      StandIn::Mash.plain(levels.reduce(StandIn::Mash.new) { |all, level| all.deep_merge(@levels.fetch(level)) })
    end
  end
end

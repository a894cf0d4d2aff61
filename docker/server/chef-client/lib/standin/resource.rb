# frozen_string_literal: true

require "mixlib/shellout"
require "standin/errors"

module StandIn
  # What every resource of a recipe is: a name, properties, actions, guards, notifications.
  class Resource
    Notification = Struct.new(:action, :target, :timing)
    TIMINGS = { before: :before, immediate: :immediately, immediately: :immediately, delayed: :delayed }.freeze

    class << self
      attr_reader :shown_as, :all_names

      # Declares the names that recipes use; the first is the one that is shown.
      def provides(*names, shown_as: nil)
        @shown_as = (shown_as || names.first).to_s
        @all_names = [@shown_as, *names.map(&:to_s)].uniq
        names.each { |name| registry[name] = self }
      end

      # Its class in the real client, as error messages show it.
      def chef_name
        "Chef::Resource::#{shown_as.split('_').map(&:capitalize).join}"
      end

      def registry
        Resource.instance_variable_get(:@registry) || Resource.instance_variable_set(:@registry, {})
      end

      def properties
        superclass.respond_to?(:properties) ? superclass.properties.merge(@properties || {}) : (@properties || {})
      end

      # With an argument it sets, without one it reads. `default` may be a block, run for the resource.
      def property(name, default = nil, &block)
        (@properties ||= {})[name] = block || default
        define_method(name) do |*values, &given|
          value = values.empty? ? given : values.first
          values.empty? && given.nil? ? read_property(name) : @values[name] = value
        end
        define_method("#{name}=") { |value| public_send(name, value) }
      end

      def actions(*names)
        @actions = names unless names.empty?
        @actions || superclass.actions
      end
    end

    attr_reader :name, :recipe, :line, :notifications
    attr_accessor :updated
    alias updated? updated
    alias updated_by_last_action? updated

    def initialize(name, recipe, line)
      @name = name.is_a?(Array) ? name.join(", ") : name.to_s
      @given_name = name
      @recipe = recipe
      @line = line
      @values = {}
      @guards = []
      @notifications = []
      @actions = nil
      @updated = false
    end

    property(:ignore_failure, false)
    property(:retries, 0)
    property(:retry_delay, 2)
    property(:sensitive, false)

    def node
      recipe.node
    end

    def action(*names)
      return @actions || [self.class.actions.first] if names.empty?

      @actions = names.flatten.map(&:to_sym)
      unknown = @actions - self.class.actions - [:nothing]
      return if unknown.empty?

      raise Chef::Exceptions::ValidationFailed,
            "Option action must be equal to one of: #{[:nothing, *self.class.actions].join(', ')}!  You passed #{unknown.first.inspect}."
    end

    def not_if(command = nil, options = {}, &block)
      @guards << [:not_if, command, options, block]
    end

    def only_if(command = nil, options = {}, &block)
      @guards << [:only_if, command, options, block]
    end

    def notifies(action, target, timing = :delayed)
      @notifications << Notification.new(action.to_sym, target, timing_of(timing))
    end

    def subscribes(action, targets, timing = :delayed)
      Array(targets).each { |target| recipe.run.subscribe(target, Notification.new(action.to_sym, self, timing_of(timing))) }
    end

    def lazy(&block)
      Lazy.new(block)
    end

    def to_s
      "#{self.class.shown_as}[#{name}]"
    end

    def property_is_set?(name)
      @values.key?(name.to_sym)
    end

    # Whether it says nothing about itself when it has changed nothing.
    def quiet?
      false
    end

    # The guard that keeps the resource from running, or nil.
    def skipped_by
      @guards.each do |kind, command, options, block|
        holds = command ? succeeds?(command, options) : block.call
        return kind if kind == :not_if ? holds : !holds
      end
      nil
    end

    # Does something, then says it; the resource counts as updated. In a rehearsal, for `notifies ..., :before`, it
    # does nothing and ends the action.
    def converge_by(*descriptions, details: [])
      throw(:rehearsed, true) if @rehearsing
      yield
      @updated = true
      recipe.run.formatter.changes(descriptions.flatten, details)
    end

    # Whether the action would change anything.
    def would_update?(action)
      @rehearsing = true
      catch(:rehearsed) do
        public_send("run_#{action}")
        false
      end
    ensure
      @rehearsing = false
    end

    def shell_out(*command, **options)
      Mixlib::ShellOut.new(*command, **options).run_command
    end

    def shell_out!(*command, **options)
      shell_out(*command, **options).tap(&:error!)
    end

    # Attributes are reached by helpers too, as in a recipe.
    %i[platform? platform_family?].each { |helper| define_method(helper) { |*names| node.public_send(helper, *names) } }
    %i[data_bag data_bag_item search].each do |helper|
      define_method(helper) { |*words, &block| recipe.public_send(helper, *words, &block) }
    end

    # A part of a custom resource reaches what its action reaches.
    def method_missing(name, *arguments, &block)
      return recipe.public_send(name, *arguments, &block) if recipe.is_a?(ActionContext) && recipe.respond_to?(name)

      raise NoMethodError, "undefined method `#{name}' for #{self.class.chef_name}"
    end

    def respond_to_missing?(*)
      false
    end

    # What it was compiled to, for error messages.
    def to_text
      return "suppressed sensitive resource output" if sensitive

      lines = ["# Declared in #{recipe.path}:#{line}", "", "#{self.class.shown_as}(#{name.inspect}) do", "  action #{action.inspect}"]
      lines += @values.reject { |_, value| value.is_a?(Proc) || value.is_a?(Lazy) }.map { |key, value| "  #{key} #{value.inspect}" }
      lines += @guards.map { |kind, command, *| "  #{kind} #{command ? command.inspect : '{ #code block }'}" }
      [*lines, "end"].join("\n")
    end

    Lazy = Struct.new(:block)

    private

    def timing_of(timing)
      TIMINGS.fetch(timing.to_sym) do
        raise Chef::Exceptions::ValidationFailed,
              "invalid timing: #{timing} for notifies(#{self}); valid timings are: delayed, immediate, immediately, before"
      end
    end

    def read_property(name)
      value = @values.fetch(name) do
        default = self.class.properties[name]
        default.is_a?(Proc) ? instance_exec(&default) : default
      end
      value.is_a?(Lazy) ? instance_eval(&value.block) : value
    end

    def succeeds?(command, options)
      settings = { cwd: options[:cwd], user: options[:user], group: options[:group], environment: options[:environment] }.compact
      # A command that does not exist is no answer: it fails the resource.
      !shell_out(command, **settings).error?
    end
  end
end

Dir[File.join(__dir__, "resources", "*.rb")].sort.each { |path| require path }

# frozen_string_literal: true

require "mixlib/shellout"
require "standin/errors"

module StandIn
  # What every resource of a recipe is: a name, properties, actions, guards, notifications.
  class Resource
    Notification = Struct.new(:action, :target, :timing)
    TIMINGS = { immediate: :immediately, immediately: :immediately, delayed: :delayed }.freeze

    class << self
      attr_reader :shown_as

      # Declares the names that recipes use; the first is the one that is shown.
      def provides(*names, shown_as: nil)
        @shown_as = (shown_as || names.first).to_s
        names.each { |name| registry[name] = self }
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
      end

      def actions(*names)
        @actions = names unless names.empty?
        @actions || superclass.actions
      end
    end

    attr_reader :name, :recipe, :line, :notifications
    attr_accessor :updated

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
    property(:umask, nil)

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

    # The guard that keeps the resource from running, or nil.
    def skipped_by
      @guards.each do |kind, command, options, block|
        holds = command ? succeeds?(command, options) : block.call
        return kind if kind == :not_if ? holds : !holds
      end
      nil
    end

    # Does something, and says it; the resource counts as updated.
    def converge_by(*descriptions)
      @updated = true
      recipe.run.formatter.changes(descriptions)
      yield
    end

    def shell_out(*command, **options)
      Mixlib::ShellOut.new(*command, **options).run_command
    end

    def shell_out!(*command, **options)
      shell_out(*command, **options).tap(&:error!)
    end

    # Within a resource, as in a recipe, attributes are reached by helpers too.
    %i[platform? platform_family?].each { |helper| define_method(helper) { |*names| node.public_send(helper, *names) } }

    def method_missing(name, *_arguments)
      raise NoMethodError, "undefined method `#{name}' for Custom resource #{self.class.shown_as} (#{self})"
    end

    def respond_to_missing?(*)
      false
    end

    Lazy = Struct.new(:block)

    private

    def timing_of(timing)
      TIMINGS.fetch(timing.to_sym) do
        raise Chef::Exceptions::ValidationFailed,
              "invalid timing: #{timing} for notifies(#{self}); valid timings are: delayed, immediate, immediately (the stand-in does not know :before)"
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
      !shell_out(command, **settings).error?
    rescue Errno::ENOENT
      false
    end
  end
end

Dir[File.join(__dir__, "resources", "*.rb")].sort.each { |path| require path }

# frozen_string_literal: true

require "standin/recipe"
require "standin/resource"

module StandIn
  # A resource that a cookbook brings, `resources/NAME.rb`: properties, and actions that are recipes of their own.
  class CustomResource < Resource
    class << self
      # The class that a file describes. Its name is COOKBOOK_NAME, or COOKBOOK where the file is `default.rb`.
      def from_file(cookbook, path)
        file = File.basename(path, ".rb")
        kind = Class.new(self)
        kind.provides(file == "default" ? cookbook.tr("-", "_").to_sym : :"#{cookbook.tr('-', '_')}_#{file}")
        kind.class_eval(File.read(path), path, 1)
        kind
      end

      def provides(*names, **_for_which_platforms)
        super(*names, shown_as: names.first)
      end

      def resource_name(name = nil)
        name ? provides(name) : shown_as
      end

      # What says only something about the resource.
      %i[description introduced examples].each { |word| define_method(word) { |*| nil } }

      # Whether parts are converged where they stand, or when the action's text is over.
      def unified_mode(value = nil)
        value.nil? ? @unified_mode : @unified_mode = value
      end

      def property(name, _types = nil, default: nil, name_property: false, coerce: nil, required: false, **)
        return if name == :name

        missing = "#{name} is a required property" if required
        super(name) do
          raise Chef::Exceptions::ValidationFailed, missing if missing

          name_property ? self.name : default
        end
        return unless coerce

        plain = instance_method(name)
        define_method(name) do |*values, &given|
          values.empty? ? plain.bind_call(self, &given) : plain.bind_call(self, instance_exec(values.first, &coerce))
        end
      end

      def default_action(name)
        @default_action = name
        actions(*[name, *(@actions || [])].uniq)
      end

      def action(name, **_description, &block)
        actions(*[*(@actions || []), name].uniq)
        default_action(@default_action) if @default_action
        # A method, so that `return` ends the action.
        action_class.define_method("action_#{name}", &block)
        define_method("run_#{name}") { perform_parts("action_#{name}") }
      end

      # Helpers of the actions.
      def action_class(&block)
        @action_class ||= Class.new(ActionContext)
        @action_class.class_eval(&block) if block
        @action_class
      end

      def lazy(&block)
        Resource::Lazy.new(block)
      end
    end

    private

    # Updated with any of its parts.
    def perform_parts(action)
      recipe.run.formatter.deeper do
        context = self.class.action_class.new(self, self.class.unified_mode)
        context.public_send(action)
        context.converge_rest
        @updated ||= context.updated?
      end
    end
  end

  # What the text of an action is evaluated in: a recipe whose resources are parts of another resource.
  class ActionContext < Recipe
    attr_reader :new_resource

    def initialize(resource, unified)
      above = resource.recipe
      super(above.run, above.cookbook_name, above.recipe_name, nil)
      @new_resource = resource
      @unified = unified
      @parts = []
      @waiting = []
    end

    def updated?
      @parts.any?(&:updated)
    end

    # What the resource does itself, and no part of it.
    def converge_by(*descriptions, &block)
      run.formatter.depth -= 1
      new_resource.converge_by(*descriptions, &block)
    ensure
      run.formatter.depth += 1
    end

    def property_is_set?(name)
      new_resource.property_is_set?(name)
    end

    def declare_resource(type, name = "", &block)
      kind = Resource.registry[type.to_sym] or unknown(type)
      place = caller_locations.find { |each| each.path.include?("/cookbooks/") }
      @path = place&.path
      part = kind.new(name, self, place&.lineno)
      part.instance_exec(&block) if block
      @parts << part
      @unified ? run.converge_part(part, @parts) : @waiting << part
      part
    end

    def converge_rest
      @waiting.each { |part| run.converge_part(part, @parts) }
    end
  end
end

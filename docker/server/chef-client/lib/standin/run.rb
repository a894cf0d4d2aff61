# frozen_string_literal: true

require "English"
require "standin/cookbooks"
require "standin/formatter"
require "standin/recipe"
require "standin/run_list"

module StandIn
  # One run: recipes compiled to resources, resources converged in their order.
  class Run
    # A resource's failure, with the resource.
    class ActionFailed < StandardError
      attr_reader :resource, :action

      def initialize(resource, action)
        @resource = resource
        @action = action
        super("#{resource} (#{resource.recipe.cookbook_name}::#{resource.recipe.recipe_name} line #{resource.line})")
      end
    end

    # A recipe's failure to compile.
    class CompileFailed < StandardError
      attr_reader :path

      def initialize(path)
        @path = path
        super(path)
      end
    end

    attr_reader :node, :cookbooks, :formatter, :resources

    def initialize(node, cookbooks, formatter)
      @node = node
      @cookbooks = cookbooks
      @formatter = formatter
      @resources = []
      @loaded = []
      @subscriptions = []
      @delayed = []
    end

    def compile(recipes)
      cookbooks.load_libraries
      cookbooks.load_all_attributes(recipes)
      recipes.each { |recipe| load_recipe(recipe.split("@").first) }
    end

    def load_recipe(name)
      full = RunList.full(name)
      return if @loaded.include?(full)

      @loaded << full
      cookbook, recipe, path = cookbooks.recipe(full)
      begin
        Recipe.new(self, cookbook, recipe).from_file(path)
      rescue CompileFailed
        raise
      rescue StandardError, SyntaxError
        raise CompileFailed, path
      end
    end

    def add(resource)
      @resources << resource
      resource
    end

    def subscribe(target, notification)
      @subscriptions << [target, notification]
    end

    # `type[name]`, by any of the type's names.
    def find_resource(wanted)
      return wanted if wanted.is_a?(Resource)

      type, name = wanted.to_s.match(/\A(\w+)\[(.*)\]\z/m)&.captures
      kind = type && Resource.registry[type.to_sym]
      found = @resources.reverse.find { |each| kind && each.instance_of?(kind) && each.name == name }
      found or raise Chef::Exceptions::ResourceNotFound, "Cannot find a resource matching #{wanted} (did you define it first?)"
    end

    def converge
      check_notifications
      @resources.each do |resource|
        formatter.recipe("#{resource.recipe.cookbook_name}::#{resource.recipe.recipe_name}")
        Array(resource.action).each { |action| perform(resource, action) }
      end
    ensure
      run_delayed
    end

    private

    # As in the real client, a name that nobody has is found before anything is changed.
    def check_notifications
      @subscriptions.each { |target, notification| find_resource(target).notifications << notification }
      @resources.each { |resource| resource.notifications.each { |each| each.target = find_resource(each.target) } }
    end

    def perform(resource, action)
      formatter.action_begins(resource, action)
      if action == :nothing
        formatter.skipped(resource, "action :nothing")
        return
      end
      why = resource.skipped_by
      return formatter.skipped(resource, why) if why

      resource.updated = false
      attempt(resource, action)
      formatter.action_ends(updated: resource.updated)
      notify(resource) if resource.updated
    rescue StandardError => e
      raise if e.is_a?(ActionFailed)

      fail_or_ignore(resource, action)
    end

    def attempt(resource, action)
      left = resource.retries
      begin
        resource.public_send("run_#{action}")
      rescue StandardError => e
        raise if left <= 0

        left -= 1
        Log.info("Retrying execution of #{resource}, #{left} attempts left: #{e.message}")
        sleep(resource.retry_delay)
        retry
      end
    end

    def fail_or_ignore(resource, action)
      raise ActionFailed.new(resource, action) unless resource.ignore_failure

      formatter.say(" (#{$ERROR_INFO.class}: #{$ERROR_INFO.message.lines.first.to_s.chomp}); ignore_failure is set, continuing")
    end

    def notify(resource)
      now, later = resource.notifications.partition { |each| each.timing != :delayed }
      now.each { |each| perform(each.target, each.action) }
      later.each do |each|
        pair = [each.target, each.action]
        @delayed << pair unless @delayed.include?(pair)
      end
    end

    # After a failure too: what was changed before it has to take effect.
    def run_delayed
      failed = nil
      until @delayed.empty?
        begin
          perform(*@delayed.shift)
        rescue ActionFailed => e
          failed ||= e
        end
      end
      raise failed if failed && $ERROR_INFO.nil?
    end
  end
end

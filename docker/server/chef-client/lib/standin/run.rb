# frozen_string_literal: true

require "standin/cookbooks"
require "standin/explain"
require "standin/recipe"
require "standin/run_list"

module StandIn
  # One run: recipes compiled to resources, resources converged in their order.
  class Run
    # A resource's failure; what went wrong is its cause.
    class ActionFailed < StandardError
      attr_reader :resource, :action
      attr_accessor :delayed

      # What went wrong in the end, below all the custom resources.
      def root
        cause.is_a?(ActionFailed) ? cause.root : cause
      end

      # The class once for each resource, and once for what it says, as the real client has it.
      def told
        "#{root.class}: #{message} had an error: #{cause.is_a?(ActionFailed) ? cause.told : "#{root.class}: #{root.message}"}"
      end

      def initialize(resource, action)
        @resource = resource
        @action = action
        super("#{resource} (#{resource.recipe.full_name} line #{resource.line})")
      end
    end

    # A failure of a recipe or an attributes file to compile; what went wrong is its cause.
    class CompileFailed < StandardError
      attr_reader :path

      def initialize(path)
        @path = path
        super
      end
    end

    attr_reader :node, :cookbooks, :formatter, :resources, :server
    # What a recipe has said about a reboot after the run: `{ delay:, reason: }`, or nil.
    attr_accessor :reboot

    def initialize(node, cookbooks, formatter, server)
      @server = server
      node.run_context = self
      @node = node
      @cookbooks = cookbooks
      @formatter = formatter
      @resources = []
      @loaded = []
      @subscriptions = []
      @delayed = []
    end

    # Raises: CompileFailed.
    def compile(recipes)
      names = recipes.map { |recipe| recipe.split("@").first }
      compiling { cookbooks.load_libraries }
      compiling { cookbooks.load_all_attributes(names) }
      compiling { names.each { |name| load_recipe(name) } }
    end

    def load_recipe(name)
      full = RunList.full(name)
      return if @loaded.include?(full)

      @loaded << full
      cookbook, recipe, path = cookbooks.recipe(full)
      compiling(path) { Recipe.new(self, cookbook, recipe, path).evaluate }
    end

    def add(resource)
      @resources << resource
      resource
    end

    def subscribe(target, notification)
      @subscriptions << [target, notification]
    end

    # `type[name]`, by any of the type's names; the one declared last.
    def find_resource(wanted)
      return wanted if wanted.is_a?(Resource)

      type, name = wanted.to_s.match(/\A(\w+)\[(.*)\]\z/m)&.captures
      @resources.reverse.find { |each| each.name == name && each.class.all_names.include?(type) } or
        raise Chef::Exceptions::ResourceNotFound, "Cannot find a resource matching #{wanted} (did you define it first?)"
    end

    # A part of a custom resource, in its place. What it notifies is a part beside it, or a resource of a recipe.
    # Raises: ActionFailed.
    def converge_part(part, beside)
      part.notifications.each do |each|
        each.target = beside.reverse.find { |other| other.to_s == each.target.to_s } || find_resource(each.target)
      end
      Array(part.action).each { |action| perform(part, action) }
    end

    # Raises: ActionFailed, MultipleFailures. What was changed before a failure still takes effect.
    def converge
      resolve_notifications
      failures = []
      begin
        # `reboot_now` ends the run: what comes after it waits for the next one.
        catch(:reboot_now) do
          @resources.each { |resource| Array(resource.action).each { |action| perform(resource, action) } }
        end
      rescue ActionFailed => e
        failures << e
      end
      run_delayed(failures)
      return if failures.empty?
      raise failures.first if failures.one?

      raise Chef::Exceptions::MultipleFailures, ["Multiple failures occurred:", *failures.map { |each| told(each) }].join("\n")
    end

    # Raises: Reboot, once the server is going down; RebootFailed, it cannot.
    def reboot_if_wanted
      wanted = reboot or return
      done = Mixlib::ShellOut.new("shutdown", "-r", "+#{wanted[:delay]}", wanted[:reason]).run_command
      raise Chef::Exceptions::RebootFailed, done.stderr.strip if done.error?

      raise Chef::Exceptions::Reboot, "Rebooting server at a recipe's request. Details: #{wanted}"
    end

    private

    def compiling(path = nil)
      yield
    rescue CompileFailed
      raise
    rescue StandardError, ScriptError, SystemExit => e
      raise CompileFailed, path || e.backtrace&.first.to_s[/\A[^:]+/]
    end

    # As in the real client, an unknown name is found before anything is changed.
    def resolve_notifications
      @subscriptions.each do |target, notification|
        compiling(notification.target.recipe.path) { find_resource(target).notifications << notification }
      end
      @resources.each { |resource| compiling(resource.recipe.path) { resolve_targets(resource) } }
    end

    def resolve_targets(resource)
      resource.notifications.each do |each|
        each.target = find_resource(each.target)
      rescue Chef::Exceptions::ResourceNotFound
        raise Chef::Exceptions::ResourceNotFound,
              "resource #{resource} is configured to notify resource #{each.target} with action #{each.action}, but " \
              "#{each.target} cannot be found in the resource collection. #{resource} is defined in " \
              "#{resource.recipe.path}:#{resource.line}"
      end
    end

    def perform(resource, action)
      notify_before(resource, action)
      formatter.action_begins(resource, action)
      why = action == :nothing ? "action :nothing" : resource.skipped_by
      return formatter.skipped(why) if why

      resource.updated = false
      before = formatter.depth
      attempt(resource, action)
      formatter.action_ends(updated: resource.updated, quiet: resource.quiet?)
      notify(resource) if resource.updated
    rescue StandardError, ScriptError => e
      formatter.depth = before if before
      # With a part the resource fails too; with what it notifies, that alone.
      raise if e.is_a?(ActionFailed) && !part_of?(resource, e.resource)

      failed = failure(resource, action)
      # Where it happens, and also of what is ignored, which is counted nowhere.
      Explain.block(formatter, failed, nil, nil)
      raise failed unless resource.ignore_failure

      Chef::Log.error("#{failed.message} had an error: #{e.message}; ignore_failure is set, continuing")
    end

    def part_of?(resource, part)
      part.recipe.is_a?(ActionContext) && part.recipe.new_resource.equal?(resource)
    end

    # The error being handled, as its cause.
    def failure(resource, action)
      raise ActionFailed.new(resource, action)
    rescue ActionFailed => e
      e
    end

    def told(failed)
      where = failed.delayed ? "delayed notification" : "#{PRODUCT} run"
      "* #{failed.root.class} occurred in #{where}: #{failed.told.partition(': ').last}"
    end

    # What has to happen first, if the action would change anything.
    def notify_before(resource, action)
      before = resource.notifications.select { |each| each.timing == :before }
      return if before.empty? || action == :nothing || resource.skipped_by || !resource.would_update?(action)

      before.each { |each| perform(each.target, each.action) }
    end

    def attempt(resource, action)
      left = resource.retries
      begin
        resource.public_send("run_#{action}")
      rescue StandardError => e
        raise unless left.positive?

        left -= 1
        Chef::Log.warn("Retrying execution of #{resource}, #{left} attempt(s) left: #{e.message}")
        sleep(resource.retry_delay)
        retry
      end
    end

    def notify(resource)
      resource.notifications.each do |each|
        case each.timing
        when :immediately then perform(each.target, each.action)
        when :delayed then @delayed |= [[each.target, each.action]]
        end
      end
    end

    def run_delayed(failures)
      until @delayed.empty?
        begin
          perform(*@delayed.shift)
        rescue ActionFailed => e
          e.delayed = true
          failures << e
        end
      end
    end
  end
end

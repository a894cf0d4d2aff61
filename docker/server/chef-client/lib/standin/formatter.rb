# frozen_string_literal: true

module StandIn
  # Chef's own way of telling a run: the shapes of its `doc` formatter.
  class Formatter
    RULER = "=" * 80

    attr_reader :updated, :untouched

    def initialize
      @updated = 0
      @untouched = 0
      @recipe = nil
      @open = false
      @started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def total
      updated + untouched
    end

    def say(text = "")
      close
      $stdout.puts(text)
    end

    # The line stays open until it is known how it ends.
    def action_begins(resource, action)
      recipe(resource.recipe.full_name)
      close
      $stdout.print("  * #{resource} action #{action}")
      @open = true
    end

    # What was changed; what has to be seen as it is, such as a difference, in `details`.
    def changes(descriptions, details = [])
      close
      descriptions.each { |text| $stdout.puts("    - #{text}") }
      details.each { |line| $stdout.puts("    #{line}") }
    end

    def action_ends(updated:)
      updated ? @updated += 1 : @untouched += 1
      $stdout.puts(" (up to date)") if @open && !updated
      $stdout.puts if @open && updated
      @open = false
    end

    def skipped(why)
      @untouched += 1
      $stdout.puts(" (skipped due to #{why})")
      @open = false
    end

    # A block between rulers, as all explanations of failures are.
    def block(title, sections)
      say
      say(RULER)
      say(title)
      say(RULER)
      sections.each { |heading, text| say("\n#{heading}\n#{'-' * heading.length}\n#{text}") }
      say
    end

    def elapsed
      time = Time.at(Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started).utc
      return time.strftime("%S seconds") if time.to_i < 60

      time.strftime(time.to_i < 3600 ? "%M minutes %S seconds" : "%H hours %M minutes %S seconds")
    end

    private

    def recipe(name)
      return if name == @recipe

      @recipe = name
      say("Recipe: #{name}")
    end

    def close
      $stdout.puts if @open
      @open = false
    end
  end
end

# frozen_string_literal: true

module StandIn
  # Chef's own way of telling a run: the `doc` formatter's shapes.
  class Formatter
    RULER = "=" * 80

    attr_reader :updated, :up_to_date

    def initialize
      @updated = 0
      @up_to_date = 0
      @recipe = nil
      @open = false
      @started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def say(text = "")
      close
      $stdout.puts(text)
    end

    def recipe(name)
      return if name == @recipe

      @recipe = name
      say("Recipe: #{name}")
    end

    # The line stays open until it is known how it ends.
    def action_begins(resource, action)
      close
      $stdout.print("  * #{resource} action #{action}")
      @open = true
    end

    def changes(descriptions)
      close
      descriptions.each { |text| text.each_line(chomp: true) { |line| $stdout.puts("    - #{line}") } }
    end

    def action_ends(updated:)
      updated ? @updated += 1 : @up_to_date += 1
      return close if updated

      $stdout.puts(" (up to date)")
      @open = false
    end

    def skipped(_resource, why)
      $stdout.puts(" (skipped due to #{why})")
      @open = false
    end

    # A block between rulers, as all explanations of failures are.
    def block(title, sections)
      say
      say(RULER)
      say(title)
      say(RULER)
      sections.each do |heading, text|
        say
        say(heading)
        say("-" * heading.length)
        say(text)
      end
      say
    end

    def elapsed
      seconds = (Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started).to_i
      hours, rest = seconds.divmod(3600)
      minutes, seconds = rest.divmod(60)
      return format("%02d seconds", seconds) if (hours + minutes).zero?
      return format("%02d minutes %02d seconds", minutes, seconds) if hours.zero?

      format("%02d hours %02d minutes %02d seconds", hours, minutes, seconds)
    end

    private

    def close
      $stdout.puts if @open
      @open = false
    end
  end
end

# frozen_string_literal: true

require "standin/version"

module StandIn
  # Chef's own way of telling a run: the shapes of its `doc` formatter.
  class Formatter
    RULER = "=" * 80

    attr_reader :updated, :untouched
    # How many custom resources are being converged, each within the one before.
    attr_accessor :depth

    def initialize
      @updated = 0
      @untouched = 0
      @recipe = nil
      @depth = 0
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

    # What is done within the block is not shown.
    def silently
      @silent = true
      yield
    ensure
      @silent = false
    end

    # The line stays open until it is known how it ends.
    def action_begins(resource, action)
      recipe(resource.recipe.full_name)
      close
      $stdout.print("#{margin}* #{resource} action #{action}")
      @open = true
    end

    # Parts of a custom resource.
    def deeper
      @depth += 1
      yield.tap { @depth -= 1 }
    end

    # What was changed; what has to be seen as it is, such as a difference, in `details`.
    def changes(descriptions, details = [])
      return if @silent

      close
      descriptions.each { |text| $stdout.puts("#{margin}  - #{text}") }
      details.each { |line| $stdout.puts("#{margin}  #{line}") }
    end

    # `quiet`: what is only said, and was neither changed nor found as it should be.
    def action_ends(updated:, quiet: false)
      updated ? @updated += 1 : @untouched += 1
      # Behind its parts it is a line of its own.
      $stdout.puts("#{@open ? '' : "#{margin}  "} (up to date)") if !updated && !quiet
      $stdout.puts if @open && quiet
      $stdout.puts if @open && updated && !quiet
      @open = false
    end

    def skipped(why)
      @untouched += 1
      $stdout.puts(" (skipped due to #{why})")
      @open = false
    end

    # A block between rulers, as all explanations of failures are; within a recipe it is indented.
    def block(title, sections, indent: 0)
      lines = ["", RULER, title, RULER]
      sections.merge("System Info:" => system_info).each do |heading, text|
        lines += ["", heading, "-" * heading.length, *text.to_s.lines(chomp: true)]
      end
      [*lines, ""].each { |line| say(line.empty? ? "" : "#{' ' * indent}#{line}") }
    end

    def elapsed
      time = Time.at(Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started).utc
      return time.strftime("%S seconds") if time.to_i < 60

      time.strftime(time.to_i < 3600 ? "%M minutes %S seconds" : "%H hours %M minutes %S seconds")
    end

    private

    def margin
      "  " * (@depth + 1)
    end

    # The last line of each block in the real client, too: what reads the output knows by it that the block is over.
    def system_info
      { chef_version: VERSION, ruby: RUBY_DESCRIPTION, program_name: $PROGRAM_NAME,
        executable: File.realpath($PROGRAM_NAME) }.map { |key, value| "#{key}=#{value}" }.join("\n")
    end

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

# frozen_string_literal: true

require "time"

module StandIn
  # Lines such as `[2026-01-01T00:00:00+00:00] WARN: text` on standard output, where Chef says everything.
  module Log
    LEVELS = %i[trace debug info warn error fatal].freeze

    class << self
      attr_writer :level

      def level
        @level ||= :warn
      end

      LEVELS.each do |level|
        define_method(level) do |text|
          next if LEVELS.index(level) < LEVELS.index(self.level)

          text.to_s.each_line(chomp: true).with_index do |line, number|
            $stdout.puts(number.zero? ? "[#{Time.now.iso8601}] #{level.upcase}: #{line}" : line)
          end
        end
      end
    end
  end
end

Chef::Log = StandIn::Log

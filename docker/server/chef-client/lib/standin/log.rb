# frozen_string_literal: true

require "time"
require "standin/errors"

class Chef
  # Lines such as `[2026-01-01T00:00:00+00:00] WARN: text`, on standard output unless the configuration says otherwise.
  module Log
    LEVELS = %i[trace debug info warn error fatal].freeze

    class << self
      attr_accessor :level, :target

      LEVELS.each do |level|
        define_method(level) do |text = nil, &block|
          next if LEVELS.index(level) < LEVELS.index(self.level)

          target.puts("[#{Time.now.iso8601}] #{level.upcase}: #{text || block.call}")
        end
      end
    end

    self.level = :warn
    self.target = $stdout
  end
end

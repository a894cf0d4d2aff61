# frozen_string_literal: true

module StandIn
  VERSION = "18.10.17"
  class Application
    def initialize(arguments) = nil
    def run
      puts "Chef Infra Client: #{VERSION} (Gantry's stand-in)"
      0
    end
  end
end

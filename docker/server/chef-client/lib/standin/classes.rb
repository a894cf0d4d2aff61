# frozen_string_literal: true

require "standin/recipe"
require "standin/resources/files"

class Chef
  module Resource
    # What libraries of cookbooks make and run by themselves, outside of any recipe. It is shown and counted nowhere.
    class File < StandIn::FileResource
      property(:atomic_update, true)

      def initialize(name, run)
        super(name, StandIn::Recipe.new(run, nil, nil, nil), nil)
      end

      # Does it at once, whatever guards a recipe would give it.
      def run_action(name)
        recipe.run.formatter.silently { public_send("run_#{name}") }
      end
    end
  end
end

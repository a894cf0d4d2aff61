# frozen_string_literal: true

module StandIn
  # The blocks in which Chef tells of a failure, and the FATAL line that comes last.
  module Explain
    module_function

    # Runs something and remembers where it was that failed, as the error's own instance variable.
    def at(place)
      yield
    rescue StandardError => e
      e.instance_variable_set(:@standin_place, place) unless e.instance_variable_defined?(:@standin_place)
      raise
    end

    def block(formatter, error, config, name)
      case error
      when Run::ActionFailed
        action_block(formatter, error)
      when Run::CompileFailed
        cause = error.cause
        formatter.block("Recipe Compile Error in #{error.path}", { cause.class.to_s => cause.message })
      else
        place_block(formatter, error, config, name)
      end
    end

    def fatal(error)
      case error
      when Fatal then error.message
      when Run::ActionFailed
        # The class once for the error of the resource, and once for what it says, as the real client has it.
        "#{error.cause.class}: #{error.message} had an error: #{error.cause.class}: #{error.cause.message}"
      when Run::CompileFailed then "#{error.cause.class}: #{error.cause.message}"
      else "#{error.class}: #{error.message}"
      end
    end

    def action_block(formatter, error)
      cause = error.cause
      formatter.block("Error executing action `#{error.action}` on resource '#{error.resource}'",
                      { cause.class.to_s => cause.message,
                        "Resource Declaration:" => "#{error.resource.recipe.cookbook_name}::#{error.resource.recipe.recipe_name} line #{error.resource.line}" })
    end

    TITLES = {
      register: "Chef Infra Client encountered an error attempting to create the client \"%s\"",
      node: "Chef Infra Client encountered an error attempting to load the node data for \"%s\"",
      run_list: "Error expanding the run_list:",
      environment: "Error loading the environment of \"%s\"",
      cookbooks: "Error Resolving Cookbooks for Run List:"
    }.freeze

    def place_block(formatter, error, config, name)
      place = error.instance_variable_get(:@standin_place)
      title = format(TITLES.fetch(place, "Unexpected Error"), name)
      formatter.block(title, sections(error, config, name, place))
    end

    def sections(error, config, name, place)
      return { "Missing Role(s) in Run List:" => error.message } if error.is_a?(Chef::Exceptions::MissingRole)

      code = error.respond_to?(:response) && error.response ? error.response.code : nil
      said = code && answer(error.response)
      case code
      when "401" then { "Authentication Error:" => authentication(config, name, place, said), "Server Response:" => said }
      when "403" then { "Authorization Error:" => authorization(config, name, place), "Server Response:" => said }
      when "412" then { "Missing Cookbooks:" => "The following cookbooks are required by the client but don't exist on the server:\n#{said}" }
      when nil then { error.class.to_s => error.message }
      else { "HTTP #{code}" => said }
      end
    end

    def authentication(config, name, place, said)
      who = place == :register ? "as the validator #{config.validation_client_name}" : "as #{name} with key #{config.client_key}"
      lines = ["Failed to authenticate to the Chef Infra Server (http 401) #{who}."]
      if said.match?(/clock/i)
        lines << "The request failed because your clock has drifted by more than 15 minutes."
        lines << "Syncing your clock to an NTP Time source should resolve the issue. Please check your system's clock."
      end
      lines.join("\n")
    end

    def authorization(config, name, place)
      return "Your client is not authorized to do this (http 403)." unless place == :register

      "Your validation client is not authorized to create the client for this node on the Chef Infra Server (http 403).\n" \
        "\nPossible Causes:\n* There may already be a client named \"#{name}\"\n" \
        "* Your validation client (#{config.validation_client_name}) may have misconfigured authorization permissions."
    end

    def answer(response)
      found = JSON.parse(response.body)["error"]
      Array(found).map { |each| each.is_a?(Hash) ? JSON.generate(each) : each.to_s }.join("\n")
    rescue JSON::ParserError, TypeError
      response.body.to_s
    end
  end
end

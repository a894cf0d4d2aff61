# frozen_string_literal: true

require "json"
require "standin/errors"
require "standin/server_api"

module StandIn
  # The blocks in which Chef tells of a failure, and the FATAL line that comes last.
  module Explain
    TITLES = {
      register: "Chef Infra Client encountered an error attempting to create the client \"%s\"",
      node: "Chef Infra Client encountered an error attempting to load the node data for \"%s\"",
      run_list: "Error expanding the run_list:",
      cookbooks: "Error Resolving Cookbooks for Run List:",
      files: "Error Syncing Cookbooks:"
    }.freeze

    module_function

    # The last word on a failure.
    def fatal(error)
      case error
      when Fatal then error.message
      when Run::ActionFailed
        error.told
      when Run::CompileFailed
        # Of `exit` in a recipe there is no more than the block.
        error.cause.is_a?(SystemExit) ? nil : "#{error.cause.class}: #{error.cause.message}"
      when SystemExit then nil
      else "#{error.class}: #{error.message}"
      end
    end

    # `place`: what was being done, a key of TITLES, or nil.
    # `run_list`: the recipes that cookbooks were asked for.
    def block(formatter, error, place, config, run_list = [])
      case error
      when Run::ActionFailed
        formatter.block("Error executing action `#{error.action}` on resource '#{error.resource}'", of_resource(error), indent: 4 + (2 * formatter.depth))
      when Run::CompileFailed
        formatter.block("Recipe Compile Error#{" in #{error.path}" if error.path}", of_recipe(error))
      else
        return unless place

        formatter.block(format(TITLES.fetch(place), config.node_name), of_server(error, place, config).merge(expanded(run_list)))
      end
    end

    def expanded(run_list)
      run_list.empty? ? {} : { "Expanded Run List:" => run_list.map { |each| "* #{each}" }.join("\n") }
    end

    def of_resource(error)
      resource = error.resource
      {
        error.root.class.to_s => error.cause.is_a?(Run::ActionFailed) ? error.cause.told.partition(": ").last : error.root.message,
        "Resource Declaration:" => resource.sensitive ? "suppressed sensitive resource output" : declaration(resource),
        "Compiled Resource:" => resource.to_text
      }
    end

    # The lines of the recipe, from the resource's first to its `end`.
    def declaration(resource)
      lines = File.readlines(resource.recipe.path, chomp: true)
      first = (resource.line || 1) - 1
      indent = lines[first][/\A\s*/]
      last = first
      if lines[first].match?(/\bdo\s*(\|.*\|)?\s*\z/)
        last = lines.index.with_index { |line, at| at > first && line == "#{indent}end" }
      end
      "# In #{resource.recipe.path}\n\n" + (first..(last || first)).map { |at| format("%3d: %s", at + 1, lines[at]) }.join("\n")
    end

    def of_recipe(error)
      sections = { error.cause.class.to_s => error.cause.message }
      trace = (error.cause.backtrace || []).select { |line| line.include?("/cookbooks/") }
      return sections if trace.empty?

      sections.merge("Cookbook Trace: (most recent call first)" => trace.map { |line| "  #{line}" }.join("\n"),
                     "Relevant File Content:" => around(trace.first))
    end

    def around(place)
      path, number = place.split(":")
      lines = File.readlines(path, chomp: true)
      shown = ([number.to_i - 8, 1].max..[number.to_i + 8, lines.length].min)
      "#{path}:\n\n" + shown.map { |at| format("%3d%s%s", at, at == number.to_i ? ">> " : ":  ", lines[at - 1]) }.join("\n")
    end

    def of_server(error, place, config)
      if error.is_a?(Chef::Exceptions::MissingRole)
        return { "Missing Role(s) in Run List:" => error.roles.map { |role, by| "* #{role} included by '#{by}'" }.join("\n") }
      end
      return by_status(error.response, place, config) if error.respond_to?(:response) && error.response

      settings = { "Relevant Config Settings:" => "chef_server_url  \"#{config.chef_server_url}\"" }
      case error
      when Chef::Exceptions::PrivateKeyMissing
        { "Private Key Not Found:" => "Your private key could not be loaded. If the key file exists, ensure that it is\n" \
                                      "readable by chef-client.",
          "Relevant Config Settings:" => key(place, config) }
      when *ServerAPI::UNREACHABLE
        { "Networking Error:" => "#{error.message}\n\nYour chef_server_url may be misconfigured, or the network could be down." }.merge(settings)
      else { "Unexpected Error:" => "#{error.class}: #{error.message}" }
      end
    end

    def by_status(response, place, config)
      said = { "Server Response:" => answer(response) }
      case response.code
      when "401" then authentication(response, place, config, said)
      when "403" then { "Authorization Error:" => authorization(place, config) }.merge(said)
      when "412"
        { "Missing Cookbooks:" => "The following cookbooks are required by the client but don't exist on the server:\n" \
                                  "* #{answer(response)}" }
      when "404"
        { "Resource Not Found:" => "The server returned a HTTP 404. This usually indicates that your chef_server_url " \
                                   "is incorrect." }.merge(said)
      when "502", "503" then { "Server Unavailable" => "The Chef Infra Server is temporarily unavailable" }.merge(said)
      when "500" then { "Unknown Server Error:" => "The server had a fatal error attempting to load the node data." }.merge(said)
      else { "Unexpected API Request Failure:" => answer(response) }
      end
    end

    def authentication(response, place, config, said)
      failed = "Failed to authenticate to the Chef Infra Server (http 401)."
      if response.body.to_s.match?(/synchronize the clock/i)
        return { "Authentication Error:" => "#{failed}\nThe request failed because your clock has drifted by more than 15 minutes.\n" \
                                            "Syncing your clock to an NTP Time source should resolve the issue." }
      end
      { "Authentication Error:" => failed }.merge(said).merge(
        "Relevant Config Settings:" => "chef_server_url  \"#{config.chef_server_url}\"\n#{key(place, config)}\n\n" \
                                       "If these settings are correct, your #{place == :register ? 'validation_key' : 'client_key'} may be invalid."
      )
    end

    def key(place, config)
      return "node_name  \"#{config.node_name}\"\nclient_key  \"#{config.client_key}\"" unless place == :register

      "validation_client_name  \"#{config.validation_client_name}\"\nvalidation_key  \"#{config.validation_key}\""
    end

    def authorization(place, config)
      return "Your client is not authorized to do this (HTTP 403)." unless place == :register

      "Your validation client is not authorized to create the client for this node on the Chef Infra Server (HTTP 403).\n\n" \
        "Possible Causes:\n\n* There may already be a client named \"#{config.node_name}\"\n" \
        "* Your validation client (#{config.validation_client_name}) may have misconfigured authorization permissions."
    end

    def answer(response)
      Array(JSON.parse(response.body)["error"]).map { |each| each.is_a?(Hash) ? each["message"] || JSON.generate(each) : each }.join("; ")
    rescue JSON::ParserError, TypeError, NoMethodError
      response.body.to_s
    end
  end
end

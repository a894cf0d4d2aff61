# frozen_string_literal: true

require "uri"
require "standin/mash"
require "standin/node"

module StandIn
  # What the Chef server finds, page by page.
  class Search
    include Enumerable

    ROWS = 1000

    # `filter`: by names of one's own, the paths of the attributes that are wanted of each.
    def initialize(server, type, query, filter)
      @server = server
      @type = type.to_s
      @query = query
      @filter = filter
    end

    def each
      start = 0
      loop do
        page = page(start)
        page.fetch("rows").compact.each { |row| yield made(row) }
        start += ROWS
        break if start >= page.fetch("total")
      end
    end

    private

    def page(start)
      path = "/search/#{@type}?q=#{URI.encode_www_form_component(@query)}&start=#{start}&rows=#{ROWS}"
      @filter ? @server.post(path, @filter) : @server.get(path)
    end

    def made(row)
      return row.fetch("data") if @filter
      return node(row) if @type == "node"

      # An item of a data bag comes with what the server has written around it.
      Mash.from(row.fetch("raw_data", row))
    end

    def node(row)
      Chef::Node.new(row["name"], row["chef_environment"]).tap do |node|
        node.run_list = row["run_list"]
        %i[default normal override automatic].each { |level| node.merge_level(level, row[level.to_s]) }
      end
    end
  end
end

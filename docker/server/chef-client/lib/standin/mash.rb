# frozen_string_literal: true

require "standin/errors"

module StandIn
  # A hash whose keys are texts, however they are asked for.
  #
  # A writable one makes a missing key a hash of the same kind (`default['a']['b'] = 1`); a sealed one is for reading.
  class Mash < Hash
    def self.from(value, writable: false)
      case value
      when Hash then new(writable).tap { |mash| value.each { |key, each| mash[key] = from(each, writable: writable) } }
      when Array then value.map { |each| from(each, writable: writable) }
      else value
      end
    end

    # The same as plain hashes and arrays.
    def self.plain(value)
      case value
      when Hash then value.to_h { |key, each| [key, plain(each)] }
      when Array then value.map { |each| plain(each) }
      else value
      end
    end

    def initialize(writable = false)
      super()
      @writable = writable
      @sealed = false
    end

    def [](key)
      return super(key.to_s) if key?(key) || !@writable

      self[key] = Mash.new(true)
    end

    def []=(key, value)
      if @sealed
        raise Chef::Exceptions::ImmutableAttributeModification,
              "Node attributes are read-only when you do not specify which precedence level to set. To set an " \
              "attribute use code like `node.default[\"key\"] = \"value\"'"
      end
      super(key.to_s, value.is_a?(Mash) ? value : Mash.from(value, writable: @writable))
    end

    def key?(key)
      super(key.to_s)
    end
    alias has_key? key?
    alias include? key?
    alias attribute? key?

    def fetch(key, *rest, &block)
      super(key.to_s, *rest, &block)
    end

    def dig(key, *rest)
      found = key?(key) ? self[key] : nil
      rest.empty? || found.nil? ? found : found.dig(*rest)
    end
    alias read dig

    # `other` wins; hashes are merged, everything else is replaced.
    def deep_merge(other)
      Mash.from(self, writable: @writable).tap do |merged|
        other.each do |key, value|
          mine = merged.key?(key) ? merged[key] : nil
          merged[key] = mine.is_a?(Mash) && value.is_a?(Hash) ? mine.deep_merge(value) : value
        end
      end
    end

    def seal
      @sealed = true
      each_value { |value| value.seal if value.is_a?(Mash) }
      self
    end
  end
end

# frozen_string_literal: true

module StandIn
  # A hash whose keys are texts, however they are asked for; a missing key becomes a hash of the same kind when the
  # hash is one to write to (`default['a']['b'] = 1`).
  class Mash < Hash
    def self.from(value, writable: false)
      case value
      when Hash
        new(writable).tap { |mash| value.each { |key, each| mash[key] = from(each, writable: writable) } }
      when Array then value.map { |each| from(each, writable: writable) }
      else value
      end
    end

    def initialize(writable = false)
      super()
      @writable = writable
    end

    def [](key)
      return super(key.to_s) if key?(key) || !@writable

      self[key] = Mash.new(true)
    end

    def []=(key, value)
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

    def to_plain
      transform_values { |value| Mash.plain(value) }.to_a.to_h
    end

    def self.plain(value)
      case value
      when Mash then value.to_plain
      when Array then value.map { |each| plain(each) }
      else value
      end
    end

    # `other` wins; hashes are merged, everything else is replaced.
    def deep_merge(other)
      Mash.from(self).tap do |merged|
        other.each do |key, value|
          mine = merged.key?(key) ? merged[key] : nil
          merged[key] = mine.is_a?(Mash) && value.is_a?(Hash) ? mine.deep_merge(value) : value
        end
      end
    end
  end

  # The node: its name, run list, attributes of every precedence, and what recipes know of it.
  class Node
    # From weak to strong.
    LEVELS = %i[default env_default role_default force_default normal override role_override env_override
                force_override automatic].freeze
    WRITABLE = %i[default force_default normal override force_override automatic].freeze

    attr_reader :name, :run_state
    attr_accessor :chef_environment, :run_list, :cookbooks, :expanded_recipes, :expanded_roles

    def initialize(name, environment)
      @name = name
      @chef_environment = environment
      @run_list = []
      @run_state = {}
      @levels = LEVELS.to_h { |level| [level, Mash.new(WRITABLE.include?(level))] }
    end

    WRITABLE.each { |level| define_method(level) { @levels.fetch(level) } }
    alias set normal
    alias environment chef_environment

    def merge_level(level, attributes)
      @levels[level] = Mash.from(@levels.fetch(level).deep_merge(attributes || {}), writable: WRITABLE.include?(level))
    end

    def attributes
      LEVELS.reduce(Mash.new) { |merged, level| merged.deep_merge(@levels.fetch(level)) }
    end

    def [](key)
      attributes[key]
    end

    def dig(*keys)
      attributes.dig(*keys)
    end
    alias read dig

    def key?(key)
      attributes.key?(key)
    end
    alias attribute? key?

    def node
      self
    end

    def platform?(*names)
      names.map(&:to_s).include?(self["platform"])
    end

    def platform_family?(*names)
      names.map(&:to_s).include?(self["platform_family"])
    end

    def role?(name)
      (expanded_roles || []).include?(name)
    end

    def recipe?(name)
      (expanded_recipes || []).include?(name)
    end

    # In an attributes file: the attributes of another cookbook first.
    def include_attribute(name)
      cookbooks.load_attributes(*name.split("::", 2))
    end

    def for_server
      {
        "name" => name, "chef_environment" => chef_environment, "json_class" => "Chef::Node", "chef_type" => "node",
        "automatic" => automatic.to_plain, "normal" => normal.to_plain, "default" => level(:default, :env_default, :role_default, :force_default),
        "override" => level(:override, :role_override, :env_override, :force_override), "run_list" => run_list
      }
    end

    private

    def level(*names)
      names.reduce(Mash.new) { |merged, name| merged.deep_merge(@levels.fetch(name)) }.to_plain
    end
  end

  # What is true of the machine, as far as recipes commonly ask.
  module Automatic
    module_function

    def collect
      release = File.exist?("/etc/os-release") ? parse_release : {}
      host = `hostname`.strip
      {
        "platform" => release["ID"], "platform_version" => release["VERSION_ID"], "os" => "linux",
        "platform_family" => %w[debian ubuntu].include?(release["ID"]) ? "debian" : release["ID"],
        "hostname" => host.split(".").first, "machinename" => host, "fqdn" => fqdn(host), "ipaddress" => address,
        "kernel" => { "name" => "Linux", "release" => `uname -r`.strip, "machine" => `uname -m`.strip },
        "cpu" => { "total" => Etc.nprocessors }, "memory" => { "total" => memory }, "ohai_time" => Time.now.to_f,
        "lsb" => { "codename" => release["VERSION_CODENAME"], "id" => release["NAME"] },
        "chef_packages" => { "chef" => { "version" => VERSION } }
      }
    end

    def parse_release
      File.readlines("/etc/os-release", chomp: true).filter_map { |line| line.split("=", 2) if line.include?("=") }
          .to_h { |key, value| [key, value.delete('"')] }
    end

    def fqdn(host)
      Addrinfo.getaddrinfo(host, nil, nil, :STREAM, nil, Socket::AI_CANONNAME).first.canonname || host
    rescue SocketError
      host
    end

    def address
      Socket.ip_address_list.find { |each| each.ipv4? && !each.ipv4_loopback? }&.ip_address
    end

    def memory
      File.read("/proc/meminfo")[/MemTotal:\s+(\d+ kB)/, 1]&.delete(" ")
    end
  end
end

# frozen_string_literal: true

require "etc"
require "socket"
require "standin/version"

module StandIn
  # What is true of the machine, as far as recipes commonly ask; the real client asks Ohai, which takes seconds.
  module Automatic
    module_function

    def collect
      release = os_release
      host = Socket.gethostname
      system = Etc.uname
      {
        "platform" => release["ID"], "platform_version" => release["VERSION_ID"], "os" => "linux",
        "platform_family" => %w[debian ubuntu].include?(release["ID"]) ? "debian" : release["ID"],
        "hostname" => host.split(".").first, "machinename" => host, "fqdn" => fqdn(host), "ipaddress" => address,
        "os_version" => system[:release],
        "kernel" => { "name" => system[:sysname], "release" => system[:release], "version" => system[:version],
                      "machine" => system[:machine], "os" => "GNU/Linux" },
        "cpu" => { "total" => Etc.nprocessors }, "memory" => { "total" => memory }, "ohai_time" => Time.now.to_f,
        "lsb" => { "codename" => release["VERSION_CODENAME"], "id" => release["ID"]&.capitalize },
        "chef_packages" => { "chef" => { "version" => VERSION, "stand_in" => true } }
      }
    end

    # The host's full name, its short one where it has no other.
    def fqdn(host = Socket.gethostname)
      Addrinfo.getaddrinfo(host, nil, nil, :STREAM, nil, Socket::AI_CANONNAME).first.canonname || host
    rescue SocketError
      host
    end

    def os_release
      File.readlines("/etc/os-release", chomp: true).select { |line| line.include?("=") }
          .to_h { |line| line.split("=", 2).then { |key, value| [key, value.delete('"')] } }
    end

    def address
      Socket.ip_address_list.find { |each| each.ipv4? && !each.ipv4_loopback? }&.ip_address
    end

    def memory
      File.read("/proc/meminfo")[/MemTotal:\s+(\d+ kB)/, 1]&.delete(" ")
    end
  end
end

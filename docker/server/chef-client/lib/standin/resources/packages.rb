# frozen_string_literal: true

require "fileutils"

module StandIn
  class PackageResource < Resource
    provides :package, :apt_package, shown_as: "apt_package"
    actions :install, :upgrade, :remove, :purge
    property(:package_name) { @given_name }
    property(:version)
    property(:options)
    property(:timeout, 900)
    property(:default_release)

    NOBODY_TO_ASK = { "DEBIAN_FRONTEND" => "noninteractive" }.freeze

    def run_install
      missing = wanted.select { |package, version| installed(package).nil? || (version && installed(package) != version) }
      change("install", missing)
    end

    def run_upgrade
      old = wanted.select { |package, version| installed(package) != (version || candidate(package)) }
      change("upgrade", old)
    end

    def run_remove
      there = wanted.keys.select { |package| installed(package) }
      converge_by(*there.map { |package| "remove package #{package}" }) { apt("remove", *there) } unless there.empty?
    end

    def run_purge
      there = wanted.keys.select { |package| installed(package) }
      converge_by(*there.map { |package| "purge package #{package}" }) { apt("purge", *there) } unless there.empty?
    end

    private

    def wanted
      names = Array(package_name)
      versions = Array(version)
      names.each_with_index.to_h { |package, number| [package.to_s, versions[number]] }
    end

    def change(word, packages)
      return if packages.empty?

      chosen = packages.to_h { |package, version| [package, version || candidate(package)] }
      lost = chosen.select { |_, version| version.nil? }.keys
      unless lost.empty?
        raise Chef::Exceptions::Package, "No candidate version available for #{lost.join(', ')}"
      end

      was = packages.keys.to_h { |package| [package, installed(package)] }
      words = chosen.map do |package, version|
        was[package] ? "#{word} package #{package} from #{was[package]} to #{version}" : "#{word} version #{version} of package #{package}"
      end
      converge_by(*words) { apt("install", *chosen.map { |package, version| "#{package}=#{version}" }) }
    end

    def apt(verb, *packages)
      release = default_release ? ["-o", "APT::Default-Release=#{default_release}"] : []
      confold = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
      given = options.is_a?(Array) ? options : options.to_s.split
      shell_out!("apt-get", "-q", "-y", *release, *confold, *given, verb, *packages, environment: NOBODY_TO_ASK, timeout: timeout)
    end

    def installed(package)
      found = shell_out("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package).stdout.split
      found[1] if found[0] == "installed"
    end

    def candidate(package)
      found = shell_out("apt-cache", "policy", package).stdout[/Candidate: (\S+)/, 1]
      found unless found == "(none)"
    end
  end

  class AptUpdateResource < Resource
    provides :apt_update
    actions :periodic, :update
    property(:frequency, 86_400)

    STAMP_FOLDER = "/var/lib/apt/periodic"
    STAMP = "#{STAMP_FOLDER}/update-success-stamp"
    HOOK = "/etc/apt/apt.conf.d/15update-stamp"

    def run_periodic
      converge_by("update new lists of packages") { fetch } unless fresh?
    end

    def run_update
      converge_by("force update new lists of packages") { fetch }
    end

    private

    # The time of the last success is kept by apt itself, for each caller.
    def fetch
      FileUtils.mkdir_p(STAMP_FOLDER)
      unless File.exist?(HOOK)
        File.write(HOOK, "APT::Update::Post-Invoke-Success {\"touch #{STAMP} 2>/dev/null || true\";};\n")
      end
      shell_out!("apt-get", "-q", "update", timeout: 900)
    end

    def fresh?
      File.exist?(STAMP) && File.mtime(STAMP) > Time.now - frequency
    end
  end

  class ServiceResource < Resource
    provides :service
    actions :nothing, :start, :stop, :restart, :reload, :enable, :disable
    property(:service_name) { name }
    property(:supports, {})
    property(:pattern) { service_name }
    property(:status_command)
    property(:start_command)
    property(:stop_command)
    property(:restart_command)
    property(:reload_command)
    property(:timeout, 900)

    def run_start
      converge_by("start service #{self}") { control("start", start_command) } unless running?
    end

    def run_stop
      converge_by("stop service #{self}") { control("stop", stop_command) } if running?
    end

    def run_restart
      converge_by("restart service #{self}") { control("restart", restart_command) }
    end

    def run_reload
      converge_by("reload service #{self}") { control("reload", reload_command) }
    end

    def run_enable
      return if enabled?

      require_script
      converge_by("enable service #{self}") do
        shell_out!("update-rc.d", service_name, "defaults")
        shell_out!("update-rc.d", service_name, "enable")
      end
    end

    def run_disable
      converge_by("disable service #{self}") { shell_out!("update-rc.d", service_name, "disable") } if enabled?
    end

    private

    def control(verb, command)
      require_script unless command
      shell_out!(*(command ? [command] : ["/usr/sbin/service", service_name, verb]), timeout: timeout)
    end

    def script
      "/etc/init.d/#{service_name}"
    end

    def require_script
      return if File.executable?(script)

      raise Chef::Exceptions::Service, "#{self}: unable to locate the init.d script!"
    end

    def running?
      return !shell_out(status_command).error? if status_command
      return !shell_out("/usr/sbin/service", service_name, "status").error? if supports[:status] && File.executable?(script)

      !shell_out("pgrep", "-f", pattern).error?
    end

    # A name in a runlevel's folder that begins with S: started at boot.
    def enabled?
      !Dir.glob("/etc/rc[2-5].d/S[0-9][0-9]#{service_name}").empty?
    end
  end
end

# frozen_string_literal: true

require "etc"
require "fileutils"
require "tempfile"
require "standin/log"

module StandIn
  class ExecuteResource < Resource
    provides :execute
    actions :run
    property(:command) { @given_name }
    property(:cwd)
    property(:user)
    property(:group)
    property(:environment, {})
    property(:returns, 0)
    property(:creates)
    property(:timeout, 3600)
    property(:input)
    property(:umask)
    property(:live_stream, false)
    property(:login, false)
    alias env environment

    def run_run
      return if creates && File.exist?(File.expand_path(creates, cwd || "/"))

      shown = Array(command).join(" ").strip
      converge_by("execute #{sensitive ? 'sensitive resource' : shown}") { perform(*Array(command)) }
    end

    private

    def perform(*words)
      settings = { cwd: cwd, user: user, group: group, input: input, umask: umask, timeout: timeout,
                   returns: Array(returns), environment: environment.transform_keys(&:to_s) }.compact
      settings[:login] = true if login
      settings[:live_stream] = $stdout if live_stream
      shell_out!(*words, **settings)
    rescue Mixlib::ShellOut::ShellCommandFailed
      raise unless sensitive

      raise Mixlib::ShellOut::ShellCommandFailed, "Command execution failed. STDOUT/STDERR suppressed for sensitive resource"
    end
  end

  class ScriptResource < ExecuteResource
    provides :script
    actions :run
    property(:code)
    property(:interpreter, "sh")
    property(:flags, "")

    def run_run
      return if creates && File.exist?(File.expand_path(creates, cwd || "/"))

      converge_by("execute #{interpreter.inspect} #{flags}".strip) do
        Tempfile.create("chef-script") do |file|
          file.write(code)
          file.close
          FileUtils.chown(user, group, file.path)
          perform(*[interpreter, *flags.split, file.path])
        end
      end
    end
  end

  class BashResource < ScriptResource
    provides :bash
    actions :run
    property(:interpreter, "bash")
  end

  class RubyBlockResource < Resource
    provides :ruby_block
    actions :run
    property(:block)

    def run_run
      converge_by("execute the ruby block #{name}") { block.call }
    end
  end

  class LogResource < Resource
    provides :log
    actions :write
    property(:message) { name }
    property(:level, :info)

    def quiet?
      true
    end

    def run_write
      # What is only said changes nothing.
      Chef::Log.public_send(level, message)
    end
  end

  class RebootResource < Resource
    provides :reboot
    actions :nothing, :request_reboot, :reboot_now, :cancel
    property(:reason, "Reboot by Chef Infra Client")
    property(:delay_mins, 0)

    def run_request_reboot
      converge_by("request a system reboot to occur if the run succeeds") { recipe.run.reboot = wanted }
    end

    def run_reboot_now
      converge_by("rebooting system immediately") { recipe.run.reboot = wanted }
      throw(:reboot_now)
    end

    def run_cancel
      converge_by("cancel any existing end-of-run reboot request") { recipe.run.reboot = nil }
    end

    private

    def wanted
      { delay: delay_mins, reason: reason }
    end
  end

  class GroupResource < Resource
    provides :group, shown_as: "group"
    actions :create, :remove, :modify, :manage
    property(:group_name) { name }
    property(:gid)
    property(:members, [])
    property(:append, false)
    property(:system, false)
    property(:excluded_members, [])

    def run_create
      unless current
        converge_by("create group #{group_name}") do
          shell_out!("groupadd", *(system ? ["-r"] : []), *(gid ? ["-g", gid.to_s] : []), group_name)
        end
      end
      run_modify
    end

    def run_modify
      found = current or return
      converge_by("alter group #{group_name}") { shell_out!("groupmod", "-g", gid.to_s, group_name) } if gid && found.gid != gid.to_i
      wanted = append ? found.mem | members : members
      wanted -= excluded_members
      return if (members.empty? && excluded_members.empty?) || wanted.sort == found.mem.sort

      converge_by("set members of group #{group_name} to #{wanted.join(', ')}") do
        shell_out!("gpasswd", "-M", wanted.join(","), group_name)
      end
    end
    alias run_manage run_modify

    def run_remove
      converge_by("remove group #{group_name}") { shell_out!("groupdel", group_name) } if current
    end

    private

    def current
      Etc.getgrnam(group_name)
    rescue ArgumentError
      nil
    end
  end

  class UserResource < Resource
    provides :user, shown_as: "linux_user"
    actions :create, :remove, :modify, :manage
    property(:username) { name }
    property(:comment)
    property(:uid)
    property(:gid)
    property(:home)
    property(:shell)
    property(:password)
    property(:system, false)
    property(:manage_home, false)
    property(:force, false)

    def run_create
      if current
        run_modify
      else
        converge_by("create user #{username}") do
          shell_out!("useradd", *options, *(system ? ["-r"] : []), *(manage_home ? ["-m"] : ["-M"]), username)
          set_password if password
        end
      end
    end

    def run_modify
      found = current or return
      change = differing(found)
      converge_by("alter user #{username}: #{change.join(', ')}") { shell_out!("usermod", *options, username) } unless change.empty?
    end
    alias run_manage run_modify

    def run_remove
      return unless current

      converge_by("remove user #{username}") { shell_out!("userdel", *(manage_home ? ["-r"] : []), *(force ? ["-f"] : []), username) }
    end

    private

    def differing(found)
      group = gid && (gid.is_a?(Integer) || gid.to_s.match?(/\A\d+\z/) ? gid.to_i : Etc.getgrnam(gid.to_s).gid)
      wanted = { gecos: comment, uid: uid&.to_i, gid: group, dir: home, shell: shell }.compact
      wanted.reject { |key, value| found.public_send(key) == value }.keys
    end

    def options
      { "-c" => comment, "-u" => uid, "-g" => gid, "-d" => home, "-s" => shell }.compact.flat_map { |flag, value| [flag, value.to_s] }
    end

    # Not as an argument, where everybody can read it.
    def set_password
      shell_out!("chpasswd", "-e", input: "#{username}:#{password}\n")
    end

    def current
      Etc.getpwnam(username)
    rescue ArgumentError
      nil
    end
  end
end

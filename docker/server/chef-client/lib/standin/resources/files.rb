# frozen_string_literal: true

require "digest"
require "erubis"
require "etc"
require "fileutils"
require "tempfile"
require "standin/config"

module StandIn
  # Owner, group and mode, which files and directories share.
  module Access
    def self.included(base)
      base.property(:owner)
      base.property(:group)
      base.property(:mode)
      base.class_eval { alias_method :user, :owner unless method_defined?(:user) }
    end

    def converge_access(path)
      wanted = wanted_mode
      current = File.stat(path)
      if wanted && (current.mode & 0o7777) != wanted
        converge_by(format("change mode from '%04o' to '%04o'", current.mode & 0o7777, wanted)) { File.chmod(wanted, path) }
      end
      uid, gid = wanted_ids
      converge_by("change owner from '#{current.uid}' to '#{owner}'") { File.chown(uid, nil, path) } if uid && current.uid != uid
      converge_by("change group from '#{current.gid}' to '#{group}'") { File.chown(nil, gid, path) } if gid && current.gid != gid
    end

    def wanted_mode
      mode.is_a?(String) ? Integer(mode, 8) : mode
    end

    def wanted_ids
      [owner && id_of(owner, Chef::Exceptions::UserIDNotFound, "user") { |name| Etc.getpwnam(name).uid },
       group && id_of(group, Chef::Exceptions::GroupIDNotFound, "group") { |name| Etc.getgrnam(name).gid }]
    end

    def id_of(name, error, kind)
      name.is_a?(Integer) ? name : yield(name)
    rescue ArgumentError
      raise error, "cannot determine #{kind} id for '#{name}', does the #{kind} exist on this system?"
    end
  end

  # A file with a content; templates and files of cookbooks are the same with another source of it.
  class FileResource < Resource
    include Access

    provides :file
    actions :create, :delete, :create_if_missing, :touch
    property(:path) { name }
    property(:content)
    property(:backup, 5)

    def wanted_content
      content
    end

    def run_create
      text = wanted_content
      new_file = !File.exist?(path)
      check_folder
      if text.nil?
        converge_by("create new file #{path}") { FileUtils.touch(path) } if new_file
      elsif new_file || File.binread(path) != text.b
        describe(text, new_file) { replace(text) }
      end
      converge_access(path)
    end

    def run_create_if_missing
      run_create unless File.exist?(path)
    end

    def run_delete
      converge_by("delete file #{path}") { File.delete(path) } if File.exist?(path) || File.symlink?(path)
    end

    def run_touch
      converge_by("update utime on file #{path}") { FileUtils.touch(path) }
      converge_access(path)
    end

    private

    def check_folder
      return if File.directory?(File.dirname(path))

      raise Chef::Exceptions::EnclosingDirectoryDoesNotExist, "Parent directory #{File.dirname(path)} does not exist."
    end

    def describe(text, new_file)
      was = new_file ? "none" : Digest::SHA256.file(path).hexdigest[0, 6]
      words = ["update content in file #{path} from #{was} to #{Digest::SHA256.hexdigest(text)[0, 6]}"]
      words.unshift("create new file #{path}") if new_file
      details = sensitive ? ["suppressed sensitive resource"] : difference(text, new_file)
      converge_by(*words, details: details) do
        keep_former unless new_file
        replace(text)
      end
    end

    def difference(text, new_file)
      former = new_file ? "/dev/null" : path
      shell_out("diff", "-u", "--label", path, "--label", "#{path} (new)", former, "-", input: text).stdout.scrub("?").lines(chomp: true)
    end

    def keep_former
      return unless backup

      stem = File.join(Chef::Config.file_backup_path, "#{path}.chef-")
      FileUtils.mkdir_p(File.dirname(stem))
      FileUtils.cp(path, "#{stem}#{Time.now.strftime('%Y%m%d%H%M%S.%6N')}", preserve: true)
      Dir.glob("#{stem}*").sort[0...-backup].each { |old| File.delete(old) }
    end

    # In one step: no process sees half a file, and a secret is not readable for a moment.
    def replace(text)
      mode = File.exist?(path) ? File.stat(path).mode & 0o7777 : (wanted_mode || (0o666 & ~File.umask))
      draft = Tempfile.create(".chef-", File.dirname(path))
      draft.binmode
      draft.write(text)
      draft.chmod(mode)
      if File.exist?(path)
        stat = File.stat(path)
        draft.chown(stat.uid, stat.gid)
      end
      draft.close
      File.rename(draft.path, path)
    end
  end

  class TemplateResource < FileResource
    provides :template
    property(:source) { "#{File.basename(name)}.erb" }
    property(:variables, {})
    property(:cookbook)
    property(:local, false)

    # What a template sees: @variables, node, and nothing of ours.
    class Context
      attr_reader :node

      def initialize(node, variables)
        @node = node
        variables.each { |key, value| instance_variable_set("@#{key}", value) }
      end

      def inspect
        "#<Chef::Mixin::Template::TemplateContext>"
      end
    end

    def wanted_content
      file = local ? source : recipe.run.cookbooks.file(cookbook || recipe.cookbook_name, "templates", source)
      begin
        Erubis::Eruby.new(File.read(file), filename: file).evaluate(Context.new(node, variables))
      rescue StandardError, ScriptError => e
        raise Chef::Mixin::Template::TemplateError, "#{e.message} (#{(e.backtrace || []).find { |line| line.start_with?(file) } || file})"
      end
    end
  end

  class CookbookFileResource < FileResource
    provides :cookbook_file
    property(:source) { File.basename(name) }
    property(:cookbook)

    def wanted_content
      File.binread(recipe.run.cookbooks.file(cookbook || recipe.cookbook_name, "files", source))
    end
  end

  class DirectoryResource < Resource
    include Access

    provides :directory
    actions :create, :delete
    property(:path) { name }
    property(:recursive, false)

    def run_create
      unless File.directory?(path)
        unless recursive || File.directory?(File.dirname(path))
          raise Chef::Exceptions::EnclosingDirectoryDoesNotExist,
                "Parent directory #{File.dirname(path)} does not exist, cannot create #{path}"
        end
        converge_by("create new directory #{path}") { FileUtils.mkdir_p(path) }
      end
      converge_access(path)
    end

    def run_delete
      return unless File.directory?(path)

      converge_by("delete existing directory #{path}") { recursive ? FileUtils.rm_rf(path) : Dir.rmdir(path) }
    end
  end

  class LinkResource < Resource
    provides :link
    actions :create, :delete
    property(:target_file) { name }
    property(:to)
    property(:link_type, :symbolic)
    property(:owner)
    property(:group)

    def run_create
      raise Chef::Exceptions::ValidationFailed, "Option to is required for #{self}" if to.nil?
      return if File.symlink?(target_file) ? File.readlink(target_file) == to : same_file?

      converge_by("create #{link_type} link at #{target_file} to #{to}") do
        FileUtils.rm_f(target_file)
        link_type == :hard ? File.link(to, target_file) : File.symlink(to, target_file)
      end
    end

    def run_delete
      converge_by("delete link at #{target_file}") { File.delete(target_file) } if File.symlink?(target_file)
    end

    private

    def same_file?
      link_type == :hard && File.exist?(target_file) && File.identical?(to, target_file)
    end
  end
end

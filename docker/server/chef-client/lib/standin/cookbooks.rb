# frozen_string_literal: true

require "digest"
require "fileutils"
require "standin/classes"
require "standin/custom"
require "standin/errors"
require "standin/run_list"

module StandIn
  # The cookbooks of a run, as files in the cache.
  class Cookbooks
    SEGMENTS = %w[all_files recipes attributes definitions files libraries providers resources templates root_files].freeze
    # What the real client reads from a cookbook and this one does not know.
    UNKNOWN = %w[definitions providers].freeze
    NAME = /\A[A-Za-z0-9_][A-Za-z0-9_.-]*\z/

    Cookbook = Struct.new(:name, :version, :folder, :paths, :dependencies)

    def initialize(server, folder, node)
      @server = server
      @folder = folder
      @node = node
      @cookbooks = {}
      @loaded_attributes = []
    end

    # `manifests`: the answer of cookbook_versions.
    def synchronize(manifests)
      manifests.sort.each do |name, manifest|
        @cookbooks[name] = fetch(name, manifest)
        yield name, manifest["version"]
      end
      forget_others
    end

    def [](name)
      @cookbooks[name] or
        raise Chef::Exceptions::CookbookNotFound,
              "Cookbook #{name} not found. If you're loading #{name} from another cookbook, make sure you configure " \
              "the dependency in your metadata"
    end

    def load_all_attributes(recipes)
      recipes.map { |recipe| recipe.split("::").first.split("@").first }.uniq.each { |name| load_cookbook_attributes(name) }
    end

    # Libraries first: custom resources use them. Raises: Refused, a cookbook brings what only the real client knows.
    def load_libraries
      @cookbooks.each_value do |cookbook|
        strange = cookbook.paths.find { |path| UNKNOWN.include?(path.split("/").first) && path.end_with?(".rb") }
        raise Refused, "the stand-in knows no #{strange.split('/').first} of cookbooks (#{cookbook.name}: #{strange})" if strange

        cookbook.paths.grep(%r{\Alibraries/.+\.rb\z}).sort.each { |path| require File.join(cookbook.folder, path) }
      end
      @cookbooks.each_value do |cookbook|
        cookbook.paths.grep(%r{\Aresources/[^/]+\.rb\z}).sort.each do |path|
          CustomResource.from_file(cookbook.name, File.join(cookbook.folder, path))
        end
      end
    end

    # One attributes file; used by include_attribute too.
    def load_attributes(name, file = nil)
      path = File.join(self[name].folder, "attributes", "#{file || 'default'}.rb")
      return if @loaded_attributes.include?(path) || !File.exist?(path)

      @loaded_attributes << path
      @node.instance_eval(File.read(path), path, 1)
    end

    def recipe(name)
      cookbook_name, recipe = RunList.full(name).split("::", 2)
      cookbook = self[cookbook_name]
      path = File.join(cookbook.folder, "recipes", "#{recipe}.rb")
      return [cookbook_name, recipe, path] if cookbook.paths.include?("recipes/#{recipe}.rb")

      known = cookbook.paths.grep(%r{\Arecipes/}).map { |each| File.basename(each, ".rb") }
      raise Chef::Exceptions::RecipeNotFound, "could not find recipe #{recipe} for cookbook #{cookbook_name}; known are #{known.join(', ')}"
    end

    # A file below `files` or `templates`: the most specific one for this node.
    def file(cookbook_name, segment, source)
      cookbook = self[cookbook_name]
      platform, version = @node["platform"], @node["platform_version"]
      folders = ["host-#{@node['fqdn']}", "#{platform}-#{version}", "#{platform}-#{version.to_s.split('.').first}", platform, "default"]
      candidates = [*folders.map { |folder| "#{segment}/#{folder}/#{source}" }, "#{segment}/#{source}"]
      found = candidates.find { |path| cookbook.paths.include?(path) }
      return File.join(cookbook.folder, found) if found

      raise Chef::Exceptions::FileNotFound,
            "Cookbook '#{cookbook.name}' (#{cookbook.version}) does not contain a file at any of these locations:\n" \
            "#{candidates.map { |path| "  #{path}" }.join("\n")}"
    end

    private

    def load_cookbook_attributes(name, seen = [])
      return if seen.include?(name)

      seen << name
      cookbook = self[name]
      cookbook.dependencies.each { |other| load_cookbook_attributes(other, seen) if @cookbooks.key?(other) }
      files = cookbook.paths.grep(%r{\Aattributes/[^/]+\.rb\z}).map { |path| File.basename(path, ".rb") }
      files.sort_by { |file| [file == "default" ? 0 : 1, file] }.each { |file| load_attributes(name, file) }
    end

    def fetch(name, manifest)
      raise Refused, "#{name.inspect} is no name of a cookbook" unless NAME.match?(name)

      folder = File.join(@folder, name)
      paths = SEGMENTS.flat_map { |segment| manifest[segment] || [] }.map do |file|
        path = file.fetch("path")
        stays_inside(name, path)
        store(File.join(folder, path), file)
        path
      end
      FileUtils.mkdir_p(folder)
      stale = Dir.glob("**/*", File::FNM_DOTMATCH, base: folder).select { |path| File.file?(File.join(folder, path)) } - paths
      stale.each { |path| File.delete(File.join(folder, path)) }
      Cookbook.new(name, manifest["version"], folder, paths, (manifest.dig("metadata", "dependencies") || {}).keys)
    end

    # Who owns the Chef server owns the node, but a broken manifest must not write just anywhere.
    def stays_inside(cookbook, path)
      return unless path.start_with?("/") || path.split("/").include?("..")

      raise Refused, "cookbook #{cookbook}: the file #{path.inspect} would leave the cookbook's folder"
    end

    def store(path, file)
      wanted = file.fetch("checksum")
      return if File.file?(path) && Digest::MD5.file(path).hexdigest == wanted

      content = @server.file(file.fetch("url"))
      found = Digest::MD5.hexdigest(content)
      if found != wanted
        raise Chef::Exceptions::ChecksumMismatch,
              "Checksum on resource (#{found[0, 6]}...) does not match checksum on content (#{wanted[0, 6]}...) of #{file['path']}"
      end
      FileUtils.mkdir_p(File.dirname(path))
      File.binwrite(path, content)
    end

    def forget_others
      (Dir.children(@folder) - @cookbooks.keys).each { |name| FileUtils.rm_rf(File.join(@folder, name)) } if Dir.exist?(@folder)
    end
  end
end

# frozen_string_literal: true

# The error classes that a user of Chef Infra Client meets, by the names that it gives them.
class Chef
  module Exceptions
    class CannotWritePrivateKey < RuntimeError; end
    class PrivateKeyMissing < RuntimeError; end
    class InvalidPrivateKey < ArgumentError; end
    # `roles`: names, with who wants each.
    class MissingRole < RuntimeError
      attr_reader :roles

      def initialize(roles)
        @roles = roles
        super("The expanded run list includes nonexistent roles: #{roles.keys.join(', ')}")
      end
    end
    class CookbookNotFound < RuntimeError; end
    class RecipeNotFound < ArgumentError; end
    class ValidationFailed < ArgumentError; end
    class ChecksumMismatch < RuntimeError; end
    class Package < RuntimeError; end
    class Service < RuntimeError; end
    class FileNotFound < RuntimeError; end
    class UserIDNotFound < ArgumentError; end
    class GroupIDNotFound < ArgumentError; end
    class EnclosingDirectoryDoesNotExist < ArgumentError; end
    class ResourceNotFound < RuntimeError; end
    class MultipleFailures < RuntimeError; end
    class RunLockTimeout < RuntimeError; end
    class ImmutableAttributeModification < NoMethodError; end
    # Not a StandardError, so that no recipe rescues it by accident.
    class Reboot < Exception; end # rubocop:disable Lint/InheritException
    class RebootFailed < RuntimeError; end
  end

  module Mixin
    module Template
      class TemplateError < RuntimeError; end
    end
  end
end

class Chef
  # What recipes may call to end the run.
  class Application
    # Says why in a FATAL line, and ends with a code: a number, or 1.
    def self.fatal!(message, code = nil)
      Chef::Log.fatal(message)
      exit(code.is_a?(Integer) ? code : 1)
    end
  end
end

module StandIn
  # Ends the program with one FATAL line and no block above it.
  class Fatal < StandardError; end

  # What no real server sends, or what only the real client can do.
  class Refused < StandardError; end
end

# frozen_string_literal: true

require "net/http" # Net::HTTPClientException, Net::HTTPFatalError

# The error classes that a user of Chef Infra Client meets, by the names that it gives them.
module Chef
  module Exceptions
    class PrivateKeyMissing < RuntimeError; end
    class InvalidPrivateKey < ArgumentError; end
    class MissingRole < RuntimeError; end
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
    class NoSuchResourceType < NameError; end
  end
end

module StandIn
  # Ends the run with one FATAL line and no block above it.
  class Fatal < StandardError; end

  # Not accepted: its own exit code.
  class LicenseNotAccepted < StandardError; end
end

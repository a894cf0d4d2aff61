# frozen_string_literal: true

require "fileutils"
require "openssl"
require "standin/errors"
require "standin/log"
require "standin/server_api"

module StandIn
  # A new client of the Chef server, made by its validator: the key is generated here, and only its public half is sent.
  class Registration
    # How often it is tried again when the server is in trouble, each time with all of the requests' own retries.
    RETRIES = 5

    def initialize(config, name)
      @config = config
      @name = name
      @path = config.client_key.to_s
      @server = ServerAPI.new(config, config.validation_client_name, config.validation_key)
      @key = OpenSSL::PKey::RSA.generate(2048)
    end

    def run
      FileUtils.mkdir_p(File.dirname(@path))
      left = @config[:client_registration_retries] || RETRIES
      begin
        create
      rescue Net::HTTPFatalError => e
        raise unless left.positive?

        left -= 1
        Chef::Log.warn("Failed to register new client, #{left} tries remaining")
        Chef::Log.warn("Response: HTTP #{e.response.code} - #{e}")
        retry
      end
      File.open(@path, File::CREAT | File::TRUNC | File::RDWR | File::NOFOLLOW, 0o600) { |file| file.print(@key.to_pem) }
    rescue Errno::ELOOP, Errno::EACCES, Errno::EISDIR => e
      raise Chef::Exceptions::CannotWritePrivateKey, "Error writing private key to #{@path}: #{e.message}"
    end

    private

    def create
      facts = { name: @name, admin: false, public_key: @key.public_key.to_pem }
      @server.post("/clients", facts)
    rescue Net::HTTPClientException => e
      raise unless e.response.code == "409"

      # A validator that is an administrator may do that.
      @server.put("/clients/#{@name}", facts)
    end
  end
end

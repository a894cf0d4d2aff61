# frozen_string_literal: true

require "json"
require "net/http"
require "openssl" # before mixlib-authentication, which fails to load otherwise
require "mixlib/authentication/signedheaderauth"
require "standin/errors"
require "standin/log"

module StandIn
  # Signed requests to a Chef server, with the retries of the real client.
  class ServerAPI
    REFUSED = [SocketError, Errno::ETIMEDOUT, Errno::ECONNREFUSED, Errno::ECONNRESET, Errno::EHOSTUNREACH,
               Errno::ENETUNREACH, Errno::EPIPE, EOFError, Timeout::Error].freeze
    PASSING_CODES = (500..599)

    # A later round of retries, as a registered node has: see `Application`.
    attr_accessor :rounds

    def initialize(config, name, key_path)
      @config = config
      @name = name
      @key = read_key(key_path)
      @root = config.chef_server_url.to_s.chomp("/")
      @rounds = 1
    end

    def get(path)
      json(request("GET", path))
    end

    def post(path, body)
      json(request("POST", path, body))
    end

    def put(path, body)
      json(request("PUT", path, body))
    end

    # The bytes behind the absolute URL of a cookbook's file.
    def file(url)
      request("GET", url).body.to_s.b
    end

    private

    def json(response)
      JSON.parse(response.body)
    rescue JSON::ParserError
      raise Fatal, "#{@root} answered with something that is no JSON; is chef_server_url right?"
    end

    def request(method, path, body = nil)
      uri = URI(path.start_with?("http") ? path : "#{@root}#{path}")
      content = body.nil? ? "" : JSON.generate(body)
      left = @rounds
      begin
        attempts(uri) { send_once(method, uri, content) }
      rescue *REFUSED
        left -= 1
        retry if left.positive? && @config.http_retry_count.positive?
        raise
      end
    end

    # Chef's own words and waits: refused connections at a fixed pace, 5xx ever slower.
    def attempts(uri)
      attempt = 0
      begin
        attempt += 1
        response = yield
        return response if response.is_a?(Net::HTTPSuccess)

        fail_with(response)
      rescue Net::HTTPFatalError => e
        raise if attempt > @config.http_retry_count

        pause = 1 + (2**attempt) + rand(2**attempt)
        Log.error("Server returned error #{e.response.code} for #{uri}, retrying #{attempt}/#{@config.http_retry_count} in #{pause}s")
        sleep(pause)
        retry
      rescue OpenSSL::SSL::SSLError => e
        raise if e.message.start_with?("SSL Error")

        raise OpenSSL::SSL::SSLError, "SSL Error connecting to #{uri} - #{e.message}"
      rescue *REFUSED => e
        if attempt > @config.http_retry_count
          raise if e.message.start_with?("Error connecting")

          raise e.class, "Error connecting to #{uri} - #{e.message}"
        end
        Log.error("Error connecting to #{uri}, retry #{attempt}/#{@config.http_retry_count}")
        sleep(@config.http_retry_delay)
        retry
      end
    end

    def fail_with(response)
      kind = PASSING_CODES.cover?(response.code.to_i) ? Net::HTTPFatalError : Net::HTTPClientException
      raise kind.new("#{response.code} \"#{response.message}\"", response)
    end

    def send_once(method, uri, content)
      request = Net::HTTPGenericRequest.new(method, !content.empty?, true, uri.request_uri, headers(method, uri, content))
      request.body = content unless content.empty?
      connection(uri).start { |http| http.request(request) }
    end

    def connection(uri)
      http = Net::HTTP.new(uri.host, uri.port, nil)
      http.open_timeout = http.read_timeout = @config.rest_timeout || 300
      http.max_retries = 0
      return http unless uri.scheme == "https"

      http.use_ssl = true
      http.verify_mode = @config.ssl_verify_mode == :verify_none ? OpenSSL::SSL::VERIFY_NONE : OpenSSL::SSL::VERIFY_PEER
      http.cert_store = OpenSSL::X509::Store.new.tap do |store|
        store.set_default_paths
        Dir.glob(File.join(@config.trusted_certs_dir, "*.{crt,pem}")).each do |path|
          store.add_cert(OpenSSL::X509::Certificate.new(File.read(path)))
        end
      end
      http
    end

    def headers(method, uri, content)
      version = @config.authentication_protocol_version.to_s
      signing = Mixlib::Authentication::SignedHeaderAuth.signing_object(
        http_method: method, path: uri.path, body: content, host: "#{uri.host}:#{uri.port}", timestamp: Time.now.utc.iso8601,
        user_id: @name, proto_version: version, headers: { "X-Ops-Server-API-Version" => "1" }
      )
      signed = signing.sign(@key).to_h { |name, value| [name.to_s.upcase.tr("_", "-"), value] }
      signed.merge("Accept" => "application/json", "Content-Type" => "application/json", "Accept-Encoding" => "identity",
                   "X-Chef-Version" => VERSION, "X-Ops-Server-API-Version" => "1", "Host" => "#{uri.host}:#{uri.port}")
    end

    def read_key(path)
      text = File.read(path.to_s)
      raise ArgumentError, "empty" unless text.include?("BEGIN")

      OpenSSL::PKey::RSA.new(text, "")
    rescue SystemCallError
      Log.warn("Failed to read the private key #{path}")
      raise Chef::Exceptions::PrivateKeyMissing, "I cannot read #{path}, which you told me to use to sign requests!"
    rescue OpenSSL::PKey::PKeyError, ArgumentError
      raise Chef::Exceptions::InvalidPrivateKey,
            "The file #{path} or :raw_key option does not contain a correctly formatted private key or the key is encrypted."
    end
  end
end

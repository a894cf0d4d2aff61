# frozen_string_literal: true

require "json"
require "net/http"
require "openssl" # before mixlib-authentication, which fails to load otherwise
require "time"
require "mixlib/authentication/signedheaderauth"
require "standin/errors"
require "standin/log"
require "standin/version"

module StandIn
  # Signed requests to a Chef server, with the retries of the real client: a server that cannot be reached is asked
  # again at a fixed pace, one that is in trouble (5xx) ever slower.
  class ServerAPI
    # EADDRNOTAVAIL: a name with an IPv6 address, such as localhost, where there is no IPv6.
    UNREACHABLE = [SocketError, Errno::ETIMEDOUT, Errno::ECONNRESET, Errno::ECONNREFUSED, Errno::EADDRNOTAVAIL,
                   Errno::EHOSTUNREACH, Errno::ENETUNREACH, Errno::EPIPE, EOFError, Timeout::Error,
                   OpenSSL::SSL::SSLError].freeze

    # `rounds`: how often all the retries of an unreachable server are gone through.
    def initialize(config, name, key_path, rounds: 1)
      @config = config
      @name = name
      @key = read_key(key_path)
      @root = config.chef_server_url.to_s.chomp("/")
      @rounds = rounds
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
      raise Refused, "#{@root} did not answer in JSON: chef_server_url is probably not that of a Chef server"
    end

    def request(method, path, body = nil)
      uri = URI(path.start_with?("http") ? path : "#{@root}#{path}")
      content = body.nil? ? "" : JSON.generate(body)
      (1..@rounds).each do |round|
        return attempts(uri) { send_once(method, uri, content) }
      rescue *UNREACHABLE
        raise if round == @rounds || @config.http_retry_count.zero?
      end
    end

    def attempts(uri)
      (1..).each do |attempt|
        last = attempt > @config.http_retry_count
        begin
          response = yield
        rescue *UNREACHABLE => e
          e = Errno::ECONNREFUSED.new if e.is_a?(Errno::EADDRNOTAVAIL)
          raise worded(e, uri) if last || untrusted?(e)

          Chef::Log.warn("#{trouble(e)} connecting to #{uri}, retry #{attempt}/#{@config.http_retry_count}")
          sleep(@config.http_retry_delay)
          next
        end
        return response if response.is_a?(Net::HTTPSuccess)

        refuse(response) if last || !response.is_a?(Net::HTTPServerError)
        pause = 1 + (2**attempt) + rand(2**attempt)
        Chef::Log.warn("Server returned error #{response.code} for #{uri}, retrying #{attempt}/#{@config.http_retry_count} in #{pause}s")
        sleep(pause)
      end
    end

    def refuse(response)
      kind = response.is_a?(Net::HTTPServerError) ? Net::HTTPFatalError : Net::HTTPClientException
      Chef::Log.info("HTTP Request Returned #{response.code} #{response.message}: #{response.body}")
      raise kind.new("#{response.code} \"#{response.message}\"", response)
    end

    # No retry makes a certificate trusted.
    def untrusted?(error)
      error.is_a?(OpenSSL::SSL::SSLError) && error.message.include?("certificate verify failed")
    end

    def trouble(error)
      case error
      when Errno::ECONNREFUSED then "Connection refused"
      when Timeout::Error then "Timeout"
      when OpenSSL::SSL::SSLError then "SSL Error"
      else "Error"
      end
    end

    def worded(error, uri)
      words = "#{trouble(error)} connecting to #{uri}"
      case error
      when Errno::ECONNREFUSED, Timeout::Error then error.class.new("#{words}, giving up")
      else error.class.new("#{words} - #{error.message}")
      end
    end

    def send_once(method, uri, content)
      request = Net::HTTPGenericRequest.new(method, !content.empty?, true, uri.request_uri, headers(method, uri, content))
      request.body = content unless content.empty?
      connection(uri).start { |http| http.request(request) }
    end

    def connection(uri)
      http = Net::HTTP.new(uri.host, uri.port, nil)
      http.open_timeout = http.read_timeout = @config.rest_timeout
      http.max_retries = 0
      return http unless uri.scheme == "https"

      http.use_ssl = true
      http.verify_mode = @config.ssl_verify_mode.to_sym == :verify_none ? OpenSSL::SSL::VERIFY_NONE : OpenSSL::SSL::VERIFY_PEER
      http.cert_store = trusted
      http
    end

    def trusted
      OpenSSL::X509::Store.new.tap do |store|
        store.set_default_paths
        Dir.glob(File.join(@config.trusted_certs_dir, "*.{crt,pem}")).sort.each do |path|
          store.add_cert(OpenSSL::X509::Certificate.new(File.read(path)))
        end
      end
    end

    def headers(method, uri, content)
      address = "#{uri.host}:#{uri.port}"
      version = { "X-Ops-Server-API-Version" => "1" }
      signing = Mixlib::Authentication::SignedHeaderAuth.signing_object(
        http_method: method, path: uri.path, body: content, host: address, timestamp: Time.now.utc.iso8601,
        user_id: @name, proto_version: @config.authentication_protocol_version.to_s, headers: version
      )
      signed = signing.sign(@key).to_h { |name, value| [name.to_s.upcase.tr("_", "-"), value] }
      signed.merge(version, "Accept" => "application/json", "Content-Type" => "application/json",
                            "Accept-Encoding" => "identity", "X-Chef-Version" => VERSION, "Host" => address)
    end

    def read_key(path)
      text = File.read(path.to_s)
      raise ArgumentError, "no PEM" unless text.include?("PRIVATE KEY")

      OpenSSL::PKey::RSA.new(text, "")
    rescue SystemCallError => e
      Chef::Log.warn("Failed to read the private key #{path}: #{e.inspect}")
      raise Chef::Exceptions::PrivateKeyMissing, "I cannot read #{path}, which you told me to use to sign requests!"
    rescue OpenSSL::PKey::PKeyError, ArgumentError
      raise Chef::Exceptions::InvalidPrivateKey,
            "The file #{path} or :raw_key option does not contain a correctly formatted private key or the key is encrypted."
    end
  end
end

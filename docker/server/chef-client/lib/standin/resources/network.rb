# frozen_string_literal: true

require "net/http"
require "standin/resources/files"

module StandIn
  # Requests of recipes: to the hosts that they name, unsigned, and with the errors of Ruby's own library.
  module Requests
    MOST_REDIRECTS = 5

    module_function

    # Raises: Net::HTTPClientException, Net::HTTPFatalError, and what a network has to say.
    def send(method, url, body: nil, headers: {}, redirects: MOST_REDIRECTS)
      uri = URI(url)
      request = Net::HTTPGenericRequest.new(method, !body.nil?, method != "HEAD", uri.request_uri, headers)
      request.body = body if body
      response = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https") { |http| http.request(request) }
      case response
      when Net::HTTPSuccess then response.body.to_s.b
      when Net::HTTPRedirection
        raise Net::HTTPClientException.new("#{response.code} \"#{response.message}\"", response) if redirects.zero?

        send(method, URI.join(url, response["Location"]).to_s, body: body, headers: headers, redirects: redirects - 1)
      when Net::HTTPServerError then raise Net::HTTPFatalError.new("#{response.code} \"#{response.message}\"", response)
      else raise Net::HTTPClientException.new("#{response.code} \"#{response.message}\"", response)
      end
    end
  end

  class RemoteFileResource < FileResource
    provides :remote_file
    actions :create, :create_if_missing, :delete, :touch
    property(:source)
    property(:checksum)
    property(:headers, {})

    def wanted_content
      return File.binread(path) if known?

      text = Requests.send("GET", Array(source).first, headers: headers)
      sum = Digest::SHA256.hexdigest(text)
      return text unless checksum && !sum.start_with?(checksum.downcase)

      raise Chef::Exceptions::ChecksumMismatch, "Checksum on resource (#{checksum[0, 6]}...) does not match checksum on content (#{sum[0, 6]}...)"
    end

    private

    # What has the wanted sum is not fetched.
    def known?
      checksum && File.exist?(path) && Digest::SHA256.file(path).hexdigest.start_with?(checksum.downcase)
    end
  end

  class HttpRequestResource < Resource
    provides :http_request
    actions :get, :head, :post, :put, :delete
    property(:url)
    property(:message) { name }
    property(:headers, {})

    %w[get head delete].each do |method|
      define_method("run_#{method}") do
        converge_by("#{self} #{method.upcase} to #{url}") { Requests.send(method.upcase, url, headers: headers) }
      end
    end

    %w[post put].each do |method|
      define_method("run_#{method}") do
        converge_by("#{self} #{method.upcase} to #{url}") do
          body = message.is_a?(String) ? message : JSON.generate(message)
          Requests.send(method.upcase, url, body: body, headers: headers)
        end
      end
    end
  end
end

# frozen_string_literal: true

require "fileutils"
require "time"

module StandIn
  # The license of Chef Infra Client: without acceptance nothing runs, as with the real one.
  class License
    ACCEPTED = %w[accept accept-silent accept-no-persist].freeze
    FILE = "/etc/chef/accepted_licenses/chef_infra_client"

    def initialize(word)
      @word = word
    end

    def check
      word = @word || ENV.fetch("CHEF_LICENSE", nil)
      return persist(word) if ACCEPTED.include?(word.to_s)
      return if File.exist?(FILE)

      puts "+---------------------------------------------+", "            Chef License Acceptance", "",
           "Before you can continue, 1 product license", "must be accepted. View the license at",
           "https://www.chef.io/end-user-license-agreement/", "", "License that need accepting:", "  * Chef Infra Client", ""
      raise LicenseNotAccepted, "Chef Infra Client cannot execute without accepting the license"
    end

    private

    def persist(word)
      return if File.exist?(FILE) || word.to_s == "accept-no-persist"

      FileUtils.mkdir_p(File.dirname(FILE))
      File.write(FILE, "---\nid: infra-client\nname: Chef Infra Client\ndate_accepted: '#{Time.now.iso8601}'\n" \
                       "accepting_product: infra-client\naccepting_product_version: #{VERSION}\nfile_format: 1\n")
    end
  end
end

# frozen_string_literal: true

require "fileutils"
require "time"
require "yaml"
require "standin/log"
require "standin/version"

module StandIn
  # The acceptance of the license that the real client asks for. Nothing of the stand-in is under that license; who
  # drives the one must have learned to drive the other.
  module License
    FOLDER = "/etc/chef/accepted_licenses"
    PRODUCTS = { "chef_infra_client" => "Chef Infra Client", "inspec" => "Chef InSpec" }.freeze
    BORDER = "+---------------------------------------------+"

    module_function

    # Whether it is accepted: earlier (a file says so), or by one of the values, which are the configuration's, the
    # environment's and the command line's.
    def accepted?(*values)
      values = values.compact.map(&:to_s)
      return true if values.include?("accept-no-persist")

      missing = PRODUCTS.keys.reject { |product| File.exist?(File.join(FOLDER, product)) }
      return true if missing.empty?

      if values.include?("accept") || values.include?("accept-silent")
        persist(missing)
        say(missing.size) if values.include?("accept")
        return true
      end
      strange = values.first
      if strange
        Chef::Log.error("Unrecognized license acceptance value '#{strange}', expected one of: 'accept', " \
                        "'accept-silent', 'accept-no-persist'")
      end
      false
    end

    def say(count)
      puts BORDER, "✔ #{count} product license#{'s' if count > 1} accepted.", BORDER
    end

    def persist(products)
      FileUtils.mkdir_p(FOLDER)
      products.each do |product|
        facts = { "id" => product, "name" => PRODUCTS[product], "date_accepted" => Time.now.iso8601,
                  "accepting_product" => "chef_infra_client", "accepting_product_version" => VERSION, "user" => "root" }
        File.write(File.join(FOLDER, product), YAML.dump(facts))
      end
    end
  end
end

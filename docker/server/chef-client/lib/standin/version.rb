# frozen_string_literal: true

module StandIn
  # The release of Chef Infra Client whose behaviour this one has.
  VERSION = "18.10.17"
  PRODUCT = "Chef Infra Client"
  BANNER = "#{PRODUCT}, version #{VERSION} (Gantry's stand-in for it)"
end

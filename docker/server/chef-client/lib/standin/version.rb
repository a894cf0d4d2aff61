# frozen_string_literal: true

module StandIn
  # The release of Chef Infra Client whose behaviour this one has. Of 19 it knows the licensing, and no more.
  VERSION = ENV.fetch("GANTRY_STAND_IN_VERSION", "18.10.17")
  PRODUCT = "Chef Infra Client"
  BANNER = "#{PRODUCT}, version #{VERSION} (Gantry's stand-in for it)"

  module_function

  def release
    VERSION.to_i
  end
end

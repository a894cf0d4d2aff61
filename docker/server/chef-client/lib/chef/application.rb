# frozen_string_literal: true

# Libraries of cookbooks ask for it by this name.
require "standin/errors"

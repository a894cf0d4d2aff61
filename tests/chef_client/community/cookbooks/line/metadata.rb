# frozen_string_literal: true

name             'line'
maintainer       'Sous Chefs'
maintainer_email 'help@sous-chefs.org'
license          'Apache-2.0'
description      'Provides custom resources for line editing'

version          '5.0.0'

source_url       'https://github.com/sous-chefs/line'
issues_url       'https://github.com/sous-chefs/line/issues'
chef_version     '>= 15.3'

supports 'debian'
supports 'ubuntu'
supports 'centos'
supports 'redhat'
supports 'oracle'
supports 'amazon'
supports 'windows'

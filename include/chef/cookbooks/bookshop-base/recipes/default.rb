# Before any package is installed: what it says holds for all of them.
template '/etc/apt/apt.conf.d/90bookshop' do
  source 'apt.conf.erb'
  owner 'root'
  group 'root'
  mode '0644'
  variables(recommends: node['bookshop']['apt']['recommends'])
end

apt_update 'package lists' do
  frequency node['bookshop']['apt']['frequency']
  action :periodic
end

template '/etc/motd' do
  source 'motd.erb'
  owner 'root'
  group 'root'
  mode '0644'
  variables(purpose: node['bookshop']['purpose'])
end

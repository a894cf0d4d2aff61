# frozen_string_literal: true

require "fileutils"
require "timeout"
require "standin/log"
require "standin/version"

module StandIn
  # One run at a time: a file is locked, and holds the process id of who has the lock.
  module RunLock
    module_function

    # Waits for the lock as long as it takes, or for `timeout` seconds.
    #
    # Raises: Chef::Exceptions::RunLockTimeout.
    def hold(path, timeout)
      FileUtils.mkdir_p(File.dirname(path))
      File.open(path, File::RDWR | File::CREAT, 0o644) do |file|
        acquire(file, timeout)
        file.truncate(0)
        file.rewind
        file.write(Process.pid.to_s)
        file.flush
        yield
      end
    end

    def acquire(file, timeout)
      return if file.flock(File::LOCK_NB | File::LOCK_EX)

      other = file.read.strip
      Chef::Log.warn("#{PRODUCT} #{other} is running, will wait for it to finish and then run.")
      Timeout.timeout(timeout) { file.flock(File::LOCK_EX) }
    rescue Timeout::Error
      raise Chef::Exceptions::RunLockTimeout, "Unable to acquire lock. Waited #{timeout} seconds for #{other} to release."
    end
  end
end

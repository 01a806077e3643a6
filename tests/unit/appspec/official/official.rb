# Asks the official agent's own parser. Reads one JSON text a line, {"host": "linux"|"windows", "text": base64}, and answers one a line.
require 'yaml'
require 'json'
require 'base64'
module InstanceAgent
  class Platform
    class << self; attr_accessor :oses; def util; self; end; def supported_oses; @oses; end; end
  end
end
$LOAD_PATH.unshift(File.join(ARGV[0], 'lib'))
base = 'instance_agent/plugins/codedeploy/application_specification/'
%w[application_specification script_info file_info linux_permission_info mode_info ace_info acl_info context_info range_info].each { |f| require base + f }
SPEC = InstanceAgent::Plugins::CodeDeployPlugin::ApplicationSpecification
def parsed(s)
  { version: s.version, os: s.os, file_exists_behavior: s.file_exists_behavior,
    hooks: s.hooks.to_h { |e, l| [e, l.map { |x| { location: x.location, timeout: x.timeout, runas: x.runas, sudo: x.sudo } }] },
    files: s.files.map { |f| { source: f.source, destination: f.destination } },
    permissions: s.permissions.map { |p|
      { object: p.object, pattern: p.pattern, except: p.except, type: p.type, owner: p.owner, group: p.group, mode: p.mode&.mode,
        acls: p.acls&.get_acl, context: p.context && { user: p.context.user, role: p.context.role, type: p.context.type, range: p.context.range&.get_range } } } }
end
STDOUT.sync = true
STDIN.each_line do |line|
  asked = JSON.parse(line)
  text = Base64.decode64(asked['text']).force_encoding('UTF-8')
  InstanceAgent::Platform.oses = [asked['host'] || 'linux']
  begin
    result = { accepted: true, parsed: parsed(SPEC::ApplicationSpecification.parse(text)) }
    out = JSON.generate(result)
  rescue Exception => e
    raise if e.is_a?(Interrupt)
    out = JSON.generate({ accepted: false, error_class: e.class.name, error: e.message.dup.force_encoding('UTF-8').scrub[0, 300] })
  end
  puts out
end

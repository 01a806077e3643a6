"""SNS on this machine: topics whose subscribers are web hooks and mail addresses."""

from longshore.onebox.services.sns.delivering import Delivering as Delivering
from longshore.onebox.services.sns.mail import MailServer as MailServer
from longshore.onebox.services.sns.mail import mail_server as mail_server
from longshore.onebox.services.sns.pages import pages_of as pages_of
from longshore.onebox.services.sns.pages import unsigned_of as unsigned_of
from longshore.onebox.services.sns.service import service as service
from longshore.onebox.services.sns.signing import Signer as Signer
from longshore.onebox.services.sns.topics import Topics as Topics

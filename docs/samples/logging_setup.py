"""The native log in Python's logging, then in a file. Usage: logging_setup.py LOGFILE"""

import logging
import sys

from awscrt import io
from awscrt import logging as crt_logging
from awscrt.logging import LogSubject

logging.basicConfig(stream=sys.stdout, format=crt_logging.CRT_LOG_FORMAT)
crt_logging.init_logging(logging.INFO)
logging.getLogger("awscrt.io.dns").setLevel(logging.ERROR)  # of the resolver, errors only

group = io.EventLoopGroup(1)  # logs that it starts
crt_logging.log(logging.WARNING, LogSubject.COMMON_GENERAL, "a message of the program")
crt_logging.flush()

crt_logging.reconfigure(logging.DEBUG, sys.argv[1])
crt_logging.log(logging.DEBUG, LogSubject.COMMON_GENERAL, "a message for the file")
crt_logging.close()

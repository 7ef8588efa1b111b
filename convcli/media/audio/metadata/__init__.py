"""Tags, pictures and marks of sound files, kept byte for byte.

libsndfile keeps ten common tags and drops the rest; here each kind of container is read and written by its own rules.
The library mutagen does less of it: it rewrites ID3 tags (2.3 becomes 2.4, unknown frames go), replaces text that is not
UTF-8, and does not know RIFF INFO, bext, iXML, cue or AIFF's own chunks. It also takes 12 ms to import and is under the GPL.
"""

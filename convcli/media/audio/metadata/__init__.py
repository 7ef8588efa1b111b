"""Tags, pictures and marks of sound files, kept byte for byte.

libsndfile keeps ten common tags and drops the rest; here each container has a reader and a writer.
The library mutagen would not do: it rewrites ID3 tags (2.3 becomes 2.4, unknown frames are lost),
replaces text that is not UTF-8, ignores RIFF INFO, bext, iXML, cue and AIFF's own chunks, takes
3 to 23 ms to import, and is under the GPL.
"""

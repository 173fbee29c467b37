import pandas
from django.http import HttpRequest, HttpResponse
from PIL import Image, ImageDraw, ImageFilter  # noqa: F401
from rest_framework import serializers, viewsets

from .models import Item

MARK = "0"


class ItemSerializer(serializers.ModelSerializer):
    class Meta:
        model = Item
        fields = ["id", "name", "price"]


class Items(viewsets.ModelViewSet):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer


def mark(request: HttpRequest) -> HttpResponse:
    frame = pandas.DataFrame({"mark": [MARK]})
    return HttpResponse(frame["mark"].iloc[0])
